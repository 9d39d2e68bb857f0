using Foretoken.Tests.Sessions;
using Foretoken.Tuning.Prompts;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Chat;

/// <summary>The working folder belongs to the whole process, so these tests run while no other does.</summary>
[Collection(nameof(WorkingFolderTests))]
public sealed class WorkingFolderTests : IDisposable
{
    private readonly string _before = Environment.CurrentDirectory;

    public void Dispose() => Environment.CurrentDirectory = _before;

    [Fact]
    public void Paths_of_a_client_mean_the_same_when_the_working_folder_changes()
    {
        ForetokenChatClientOptions options = new()
        {
            ModelPath = "models/a.gguf",
            ProfilePath = "a.foretoken.gguf",
            CacheFolder = "cache",
            Adapters = [new() { Path = "tone.gguf" }],
        };
        ForetokenChatClientOptions copy = options.Clone();

        Assert.Equal(Path.Combine(_before, "models", "a.gguf"), copy.ModelPath);
        Assert.Equal(Path.Combine(_before, "a.foretoken.gguf"), copy.ProfilePath);
        Assert.Equal(Path.Combine(_before, "cache"), copy.CacheFolder);
        Assert.Equal((Path.Combine(_before, "tone.gguf"), "tone"), (copy.Adapters[0].Path, copy.Adapters[0].Name));
        Assert.Equal("models/a.gguf", options.ModelPath);
    }

    [Fact]
    public async Task The_model_is_the_one_of_the_folder_where_the_client_was_created()
    {
        string path = TestModel.FindPath();
        Environment.CurrentDirectory = Path.GetDirectoryName(path)!;
        using ForetokenChatClient client = new(
            new ForetokenChatClientOptions
            {
                ModelPath = Path.GetFileName(path),
                ContextSize = 256,
                Threads = TestModel.Threads,
                UseMeasuredCosts = false,
            }
        );
        Environment.CurrentDirectory = Path.GetTempPath();

        ChatResponse response = await client.GetResponseAsync("Say hello.", new() { MaxOutputTokens = 2 });

        Assert.Equal(2, response.Usage!.OutputTokenCount);
    }
}

/// <summary>Alone: see <see cref="WorkingFolderTests"/>.</summary>
[CollectionDefinition(nameof(WorkingFolderTests), DisableParallelization = true)]
public sealed class WorkingFolderDefinition;
