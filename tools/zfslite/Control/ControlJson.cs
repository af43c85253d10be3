using System.Text.Json.Serialization;
using ZfsLite.Kmem;

namespace ZfsLite.Cli;

/// <summary>The JSON of the control socket and of --json: written and read without reflection.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, MaxDepth = 16)]
[JsonSerializable(typeof(ControlRequest))]
[JsonSerializable(typeof(ControlResponse))]
[JsonSerializable(typeof(HelloInfo))]
[JsonSerializable(typeof(StatusInfo))]
[JsonSerializable(typeof(List<StatusInfo>))]
[JsonSerializable(typeof(List<DatasetRow>))]
[JsonSerializable(typeof(List<PropertyRow>))]
[JsonSerializable(typeof(List<TxgRow>))]
[JsonSerializable(typeof(KmemInfo))]
[JsonSerializable(typeof(List<SlabRow>))]
[JsonSerializable(typeof(List<MempoolRow>))]
[JsonSerializable(typeof(List<KmemLeak>))]
[JsonSerializable(typeof(List<KmemSlabLine>))]
[JsonSerializable(typeof(List<KmemTunableRow>))]
[JsonSerializable(typeof(List<ImportRow>))]
[JsonSerializable(typeof(List<PolicyRow>))]
[JsonSerializable(typeof(CheckInfo))]
public sealed partial class ControlJson : JsonSerializerContext;
