namespace ZfsLite.Cli;

/// <summary>A column of a table, or a field of a record.</summary>
/// <param name="Title">Head of the column.</param>
/// <param name="Value">Text of a row's cell.</param>
/// <param name="Right">True for numbers.</param>
public sealed record TableColumn<T>(string Title, Func<T, string> Value, bool Right = false);
