using System.Text.Json.Serialization;

namespace Foretoken.Machine;

/// <summary>Source-generated JSON of the records in this folder.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    UseStringEnumConverter = true
)]
[JsonSerializable(typeof(List<DeviceInfo>))]
[JsonSerializable(typeof(CpuBackend))]
internal sealed partial class MachineJsonContext : JsonSerializerContext;
