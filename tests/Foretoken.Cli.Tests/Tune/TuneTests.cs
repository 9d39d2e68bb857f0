using Foretoken.Cli.Console;
using Foretoken.Cli.Options;
using Foretoken.Cli.Tune;
using Foretoken.Gguf;
using Foretoken.Importance;
using Foretoken.Plans;
using Foretoken.Profiles;
using Foretoken.Tuning.Models;
using Foretoken.Tuning.Prompts;

namespace Foretoken.Cli.Tests.Tune;

public sealed class TuneTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly TestConsole _output = new TestConsole().Width(200);
    private readonly TestConsole _errors = new TestConsole().Width(200);
    private readonly string _model;
    private readonly string _profile;

    public TuneTests()
    {
        _model = Path.Combine(_folder.Path, "model.gguf");
        _profile = ProfileFile.PathFor(_model);
        SyntheticModel.Write(_model, SyntheticModelSpec.Parse("layers=4,embd=64,heads=4,kv-heads=2,ffn=128,vocab=320"));
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_a_profile_of_the_same_weights_knows_of_skips_is_kept_and_that_is_said()
    {
        ModelProfile before = Profile();
        ProfileWriter.Write(_profile, before);
        ModelProfile found = TuneCommand.FindSkips(Context, _model, _profile)!;
        Assert.Equal(before.SkipAdapters, found.SkipAdapters);
        Assert.Equal(before.SkipQuality[0].KlDivergence, Assert.Single(found.SkipQuality).KlDivergence);
        Assert.Contains("skips is kept", _errors.Output, StringComparison.Ordinal);
        Assert.Contains("--skips", _errors.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Where_there_is_nothing_to_keep_a_profile_is_replaced()
    {
        Assert.Null(TuneCommand.FindSkips(Context, _model, _profile));
        ProfileWriter.Write(_profile, Profile() with { SkipQuality = [], SkipAdapters = [] });
        Assert.Null(TuneCommand.FindSkips(Context, _model, _profile));
        Assert.Empty(_errors.Output);

        ProfileWriter.Write(_profile, Profile() with { Fingerprint = new string('a', 64) });
        Assert.Null(TuneCommand.FindSkips(Context, _model, _profile));
        Assert.Contains("another model", _errors.Output, StringComparison.Ordinal);
        File.WriteAllText(_profile, "no profile");
        Assert.Null(TuneCommand.FindSkips(Context, _model, _profile));
        Assert.Contains("damaged", _errors.Output, StringComparison.Ordinal);
        Assert.Contains("will be replaced", _errors.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void An_adapter_is_a_file_with_or_without_a_scale()
    {
        string file = _folder.Write("tone.gguf", "");
        string odd = _folder.Write("a=b.gguf", "");
        Assert.Equal((file, 1), Parsed(file));
        Assert.Equal((file, 0.5f), Parsed($"{file}=0.5"));
        Assert.Equal((file, -2), Parsed($"{file}=-2"));
        Assert.Equal((odd, 1), Parsed(odd));
        Assert.Equal((odd, 3), Parsed($"{odd}=3"));
        foreach (string scale in (string[])["", "0", "NaN", "strong", "0,5"])
        {
            CliException e = Assert.Throws<CliException>(() => CommandOptions.ParseLora($"{file}={scale}"));
            Assert.Contains($"'{scale}' is no scale", e.Message, StringComparison.Ordinal);
        }

        Assert.Contains(
            "no file 'law.gguf'",
            Assert.Throws<CliException>(() => CommandOptions.ParseLora("law.gguf=2")).Message,
            StringComparison.Ordinal
        );

        static (string, float) Parsed(string text)
        {
            LoraAdapterOptions adapter = CommandOptions.ParseLora(text);
            return (adapter.Path, adapter.Scale);
        }
    }

    [Theory]
    [InlineData("say --skips, too", "tune", "--lora", "tone.gguf")]
    [InlineData("name some with --lora", "quality", "--full-without-lora")]
    public void An_option_that_would_do_nothing_is_refused(string message, params string[] line)
    {
        Assert.Contains(
            ForetokenCommand.Create(Context).Parse(line).Errors,
            error => error.Message.Contains(message, StringComparison.Ordinal)
        );
    }

    private CliContext Context => new(_output, _errors);

    private ModelProfile Profile()
    {
        ModelFileInfo model = ModelFileCheck.Check(_model);
        return new ModelProfile
        {
            Fingerprint = ModelFingerprint.Compute(model),
            ModelName = "tiny",
            LayerCount = model.Shape!.LayerCount,
            HeadCount = model.Shape.HeadCount,
            EmbeddingSize = model.Shape.EmbeddingSize,
            Origin = new ProfileOrigin(DateTimeOffset.UnixEpoch, 1, 1, 640, 1, "made by hand"),
            Predictors = [new ImportancePredictor(1, default, new float[model.Shape.EmbeddingSize], null, 0.5)],
            SkipQuality = [new ProfileSkipQuality([new LayerSkip(2)], null, 0.1, 0.9)],
            SkipAdapters = [new ProfileAdapter("tone.gguf", new string('b', 64), 0.5f)],
        };
    }
}
