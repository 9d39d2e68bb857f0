using Foretoken.Profiles;

namespace Foretoken.Tests.Profiles;

public class ImportancePoliciesTests
{
    [Fact]
    public void Every_name_finds_a_policy()
    {
        foreach (string name in ImportancePolicies.Names)
        {
            Assert.StartsWith(name, ImportancePolicies.Get(name).Name, StringComparison.Ordinal);
            Assert.StartsWith(name, ImportancePolicies.Get(name.ToUpperInvariant()).Name, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void No_name_is_the_default()
    {
        Assert.Same(ImportancePolicies.Default, ImportancePolicies.Get(null));
        Assert.IsType<HeadNormalizedWindow>(ImportancePolicies.Default);
        Assert.Equal(ImportancePolicies.Default.Name, ImportancePolicies.Names[0]);
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
        Assert.False(ImportancePolicies.TryGet(name, out _));
    }
}
