namespace Foretoken;

/// <summary>A LoRA adapter that a <see cref="ForetokenChatClient"/> loads with its model.</summary>
public sealed record LoraAdapterOptions
{
    /// <summary>The GGUF file. Required.</summary>
    public string Path { get; set; } = "";

    /// <summary>What requests and reports call it. Default: the file's name without its extension.</summary>
    public string Name
    {
        get => field ?? System.IO.Path.GetFileNameWithoutExtension(Path);
        set;
    }

    /// <summary>
    /// Factor to what it adds to the weights in requests that name no adapters. Default 1, as it was trained; 0 keeps it for
    /// requests that name it.
    /// </summary>
    public float Scale { get; set; } = 1;
}
