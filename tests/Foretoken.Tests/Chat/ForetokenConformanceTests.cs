using Foretoken.Tests.Sessions;
using Microsoft.Extensions.AI;

namespace Foretoken.Tests.Chat;

[Collection(nameof(TestModel))]
public sealed class RealModelConformanceTests(TestModel test) : ChatClientConformance
{
    protected override (string Key, int Value) NumericOption => ("target_ttft_speedup", 2);

    protected override IChatClient CreateClient() => test.CreateClient();

    protected override IChatClient CreateToolClient() =>
        test.CreateClient(options => options.ChatTemplate = ToolTemplate.Text);
}

[Collection(nameof(TinyChatModel))]
public sealed class RandomModelConformanceTests(TinyChatModel test) : ChatClientConformance
{
    protected override (string Key, int Value) NumericOption => ("min_p", 1);

    protected override IChatClient CreateClient() => test.CreateClient(options => options.Slots = 3);

    protected override IChatClient CreateToolClient() =>
        test.CreateClient(options => options.ChatTemplate = ToolTemplate.Text);
}
