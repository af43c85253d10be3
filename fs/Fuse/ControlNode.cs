namespace ZfsLite.Fs;

/// <summary>A node of the control directory: a directory with children, or a file whose text is made when it is opened.</summary>
internal sealed class ControlNode
{
    internal ControlNode(byte[] name, ulong obj, ControlNode? parent, Func<byte[]>? content)
    {
        Name = name;
        Object = obj;
        Parent = parent ?? this;
        Content = content;
    }

    /// <summary>Its name in the parent.</summary>
    internal byte[] Name { get; }

    /// <summary>Object number.</summary>
    internal ulong Object { get; }

    /// <summary>The directory above; of the topmost, itself.</summary>
    internal ControlNode Parent { get; }

    /// <summary>Makes the text; null: a directory.</summary>
    internal Func<byte[]>? Content { get; }

    /// <summary>Nodes inside.</summary>
    internal List<ControlNode> Children { get; } = [];
}
