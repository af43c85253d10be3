using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Spectre.Console;

namespace ZfsLite.Cli;

/// <summary>Where a command writes: plain lines, tables for people, JSON for programs.</summary>
public sealed class CommandIo
{
    /// <summary>Wide enough that a table which nobody looks at on a terminal is never wrapped.</summary>
    private const int PipeWidth = 400;

    /// <summary>Makes one on two writers.</summary>
    public CommandIo(TextWriter output, TextWriter error)
    {
        Out = output;
        Error = error;
        IsTerminal = ReferenceEquals(output, Console.Out) && !Console.IsOutputRedirected;
        Ansi = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = IsTerminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = IsTerminal ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = IsTerminal ? InteractionSupport.Detect : InteractionSupport.No,
            Out = new AnsiConsoleOutput(output),
        });
        if (!IsTerminal)
        {
            Ansi.Profile.Width = PipeWidth;
        }
    }

    /// <summary>Standard output.</summary>
    public TextWriter Out { get; }

    /// <summary>Standard error.</summary>
    public TextWriter Error { get; }

    /// <summary>True if a person watches standard output.</summary>
    public bool IsTerminal { get; }

    /// <summary>The console for tables and progress.</summary>
    public IAnsiConsole Ansi { get; }

    /// <summary>Writes rows as an array of objects, or as a table.</summary>
    public void Rows<T>(IReadOnlyList<T> rows, bool json, JsonTypeInfo<List<T>> type, IReadOnlyList<TableColumn<T>> columns)
    {
        if (json)
        {
            Out.WriteLine(JsonSerializer.Serialize([.. rows], type));
            return;
        }

        Table table = new Table().Border(TableBorder.None).Collapse();
        table.ShowHeaders = true;
        foreach (TableColumn<T> column in columns)
        {
            var c = new TableColumn(new Text(column.Title)) { NoWrap = true, Padding = new Padding(0, 0, 2, 0) };
            table.AddColumn(column.Right ? c.RightAligned() : c.LeftAligned());
        }

        foreach (T row in rows)
        {
            table.AddRow(columns.Select(c => new Text(c.Value(row))));
        }

        Ansi.Write(table);
    }

    /// <summary>Writes one object as JSON, or name/value lines.</summary>
    public void Record<T>(T value, bool json, JsonTypeInfo<T> type, IReadOnlyList<TableColumn<T>> fields)
    {
        if (json)
        {
            Out.WriteLine(JsonSerializer.Serialize(value, type));
            return;
        }

        int width = fields.Max(f => f.Title.Length);
        foreach (TableColumn<T> field in fields)
        {
            string text = field.Value(value);
            if (text.Length > 0)
            {
                Out.WriteLine($"{field.Title.PadRight(width)}  {text}");
            }
        }
    }
}
