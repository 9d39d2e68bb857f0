using Foretoken.Sessions;

namespace Foretoken.Cli.Options;

/// <summary>The LoRA adapters of <c>--lora</c>, loaded.</summary>
internal sealed class LoadedAdapters : IDisposable
{
    private readonly List<ScaledAdapter> _adapters = [];

    internal LoadedAdapters(ForetokenModel model, IReadOnlyList<LoraAdapterOptions> adapters)
    {
        try
        {
            foreach (LoraAdapterOptions adapter in adapters)
            {
                _adapters.Add(new ScaledAdapter(model.LoadAdapter(adapter.Path), adapter.Scale));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    internal IReadOnlyList<ScaledAdapter> Scaled => _adapters;

    public void Dispose() => _adapters.ForEach(adapter => adapter.Adapter.Dispose());
}
