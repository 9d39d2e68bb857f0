using System.Text.Json;
using Foretoken.Cli.Console;
using Foretoken.Machine;
using Spectre.Console;
using static Foretoken.Cli.Console.InvariantText;

namespace Foretoken.Cli.Doctor;

/// <summary>The report on one screen.</summary>
internal static class DoctorView
{
    internal static void Show(CliContext context, DoctorReport report)
    {
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        void Row(string label, string text) =>
            grid.AddRow(new Text(label, new Style(Color.Grey)), new Text(text.Length > 0 ? text : "none"));

        DoctorProcessor processor = report.Processor;
        Row("system", $"{report.OperatingSystem}, {processor.Architecture}, {report.Runtime}");
        Row("processor", processor.Name);
        Row(
            "may use",
            I($"{processor.Processors} processors")
                + (processor.Limit is { } limit ? I($", the time of {limit:0.##} of them") : ", no limit on their time")
        );
        Row(
            "has",
            processor.Features is { } features ? string.Join(' ', features) : "unknown without a native library"
        );

        DoctorMemory memory = report.Memory;
        Row(
            "memory",
            ByteSize.Format(memory.TotalBytes)
                + (memory.FreeBytes is { } free ? $", {ByteSize.Format(free)} left" : "")
                + (memory.LimitBytes is { } bytes ? $", limited to {ByteSize.Format(bytes)}" : "")
        );

        DoctorLibrary library = report.Library;
        Row(
            "library",
            library.Path is null
                ? "cannot be loaded"
                : $"{library.Path}, llama.cpp {library.Release}, patches {library.PatchHash}"
        );
        if (library.Build is { } build)
        {
            Row("built", $"'{Told(build, "options")}' with {Told(build, "compiler")} for {Told(build, "target")}");
        }
        foreach (CompiledLibrary compiled in library.Compiled)
        {
            Row(
                compiled.Name,
                compiled.Missing.Count > 0
                    ? $"cannot run here: no {string.Join(", ", compiled.Missing)}"
                    : "can run here: "
                        + (compiled.Features.Count > 0 ? string.Join(' ', compiled.Features) : "any processor")
            );
        }
        if (library.Kernels is { } kernels)
        {
            Row("in use", $"{kernels.Library}: {string.Join(' ', kernels.Features)}");
        }
        foreach (DeviceInfo device in report.Devices)
        {
            Row(
                device.Type,
                $"{device.Name}, {device.Description}"
                    + (device.MemoryTotal > 0 ? $", {ByteSize.Format(device.MemoryTotal)}" : "")
            );
        }
        if (report.Devices.All(device => device.Type is "cpu" or "accel") && library.Error is null)
        {
            Row("gpu", $"none; built with {Backends(library.Build)}");
        }

        if (report.Model is { } model)
        {
            Row("model", $"{model.Path}, {model.Architecture}, {ByteSize.Format(model.WeightBytes)}");
            Row("needs", I($"{ByteSize.Format(model.NeededBytes)} with a context of {model.ContextSize:#,0} tokens"));
            foreach (WeightKernel kernel in model.Kernels)
            {
                Row(
                    kernel.Type,
                    I($"{kernel.TensorCount} tensors, {ByteSize.Format(kernel.Bytes)}: ")
                        + (kernel.Kernel is { } name ? $"prefill by {name}" : "no kernel for prefill")
                );
            }
        }
        context.Output.Write(grid);
        context.WriteRaw("");
        if (report.Findings.Count == 0)
        {
            context.WriteRaw("Nothing is wrong.");
        }
        foreach (string finding in report.Findings)
        {
            context.Output.Markup("[yellow]![/] ");
            context.WriteRaw(finding);
        }
    }

    private static string Told(JsonElement build, string name) =>
        build.TryGetProperty(name, out JsonElement value) ? value.ToString() : "?";

    private static string Backends(JsonElement? build) =>
        build is { } element && element.TryGetProperty("backends", out JsonElement names)
            ? string.Join(", ", names.EnumerateArray().Select(name => name.GetString()))
            : "the CPU backend";
}
