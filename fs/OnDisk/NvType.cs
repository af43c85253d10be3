namespace ZfsLite.Fs;

/// <summary>Types of nvlist values (data_type_t), as numbered in the XDR form.</summary>
public enum NvType
{
#pragma warning disable CS1591 // Names of the format.
    Boolean = 1, Byte = 2, Int16 = 3, UInt16 = 4, Int32 = 5, UInt32 = 6, Int64 = 7, UInt64 = 8, String = 9, ByteArray = 10,
    Int16Array = 11, UInt16Array = 12, Int32Array = 13, UInt32Array = 14, Int64Array = 15, UInt64Array = 16, StringArray = 17,
    HrTime = 18, Nvlist = 19, NvlistArray = 20, BooleanValue = 21, Int8 = 22, UInt8 = 23,
#pragma warning restore CS1591
}
