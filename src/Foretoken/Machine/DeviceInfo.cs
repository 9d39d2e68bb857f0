namespace Foretoken.Machine;

/// <summary>A device that llama.cpp can compute on.</summary>
/// <param name="Name">Name to give to <c>ModelOptions.Devices</c>.</param>
/// <param name="Description">Readable name.</param>
/// <param name="Type"><c>cpu</c>, <c>gpu</c>, <c>igpu</c> or <c>accel</c>.</param>
/// <param name="MemoryFree">Free memory in bytes.</param>
/// <param name="MemoryTotal">Memory in bytes.</param>
public sealed record DeviceInfo(string Name, string Description, string Type, long MemoryFree, long MemoryTotal);
