using Foretoken.Errors;
using Foretoken.Importance;
using Foretoken.Tests.Profiles;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Tests.Importance;

public class ImportancePoliciesTests
{
    [Fact]
    public void Every_name_finds_a_policy()
    {
        foreach (string name in ImportancePolicies.Names)
        {
            Assert.StartsWith(
                name,
                ImportancePolicies.Get(name, TestProfiles.Small.Predictors).Name,
                StringComparison.Ordinal
            );
            Assert.StartsWith(
                name,
                ImportancePolicies.Get(name.ToUpperInvariant(), TestProfiles.Small.Predictors).Name,
                StringComparison.Ordinal
            );
        }
    }

    [Fact]
    public void No_name_is_the_default_which_a_profile_makes_the_learned_one()
    {
        Assert.Same(ImportancePolicies.Default, ImportancePolicies.Get(null));
        Assert.IsType<HeadNormalizedWindow>(ImportancePolicies.Default);
        Assert.Equal(ImportancePolicies.Default.Name, ImportancePolicies.NamesFor(hasProfile: false)[0]);

        LearnedImportance learned = Assert.IsType<LearnedImportance>(
            ImportancePolicies.Get(" ", TestProfiles.Small.Predictors)
        );
        Assert.Equal([1, 2, 3], learned.Predictors.Select(predictor => predictor.Layer));
        Assert.Equal(learned.Name, ImportancePolicies.NamesFor(hasProfile: true)[0]);
    }

    [Fact]
    public void Learned_is_a_known_name_that_needs_a_profile()
    {
        ImportancePolicies.EnsureKnown("Learned");
        Assert.DoesNotContain("learned", ImportancePolicies.NamesFor(hasProfile: false));
        ModelProfileException e = Assert.Throws<ModelProfileException>(() => ImportancePolicies.Get("learned"));
        Assert.Contains("foretoken tune", e.Message, StringComparison.Ordinal);
        Assert.Contains("head-normalized-window", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_name_of_a_policy_finds_it_again() =>
        Assert.Equal("random:-5", ImportancePolicies.Get(ImportancePolicies.Get("random:-5").Name).Name);

    [Theory]
    [InlineData("nonsense")]
    [InlineData("random:x")]
    [InlineData("randomly")]
    public void An_unknown_name_is_refused_with_the_known_ones(string name)
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => ImportancePolicies.Get(name));
        Assert.Contains("head-normalized-window", e.Message, StringComparison.Ordinal);
        Assert.Contains("learned", e.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => ImportancePolicies.EnsureKnown(name));
        Assert.Throws<ArgumentException>(() => ImportancePolicies.Get(name, TestProfiles.Small.Predictors));
    }
}
