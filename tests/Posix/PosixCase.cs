using System.Reflection;

namespace ZfsLite.Tests.Posix;

/// <summary>One case: what POSIX or Linux promises of some call.</summary>
public sealed class PosixCase
{
    private readonly MethodInfo _method;

    internal PosixCase(MethodInfo method, PosixCaseAttribute declaration)
    {
        _method = method;
        Subject = method.DeclaringType!.Name.Replace("Cases", string.Empty, StringComparison.Ordinal);
        Except = declaration.Except;
        Why = declaration.Why;
        Needs = declaration.Needs;
        if (Except != FileSystemKind.None && string.IsNullOrEmpty(Why))
        {
            throw new InvalidOperationException($"{Name} does not say why it is not for {Except}");
        }
    }

    /// <summary>What it is about.</summary>
    public string Subject { get; }

    /// <summary>Subject and method.</summary>
    public string Name => $"{Subject}.{_method.Name}";

    /// <summary>Where it does not apply.</summary>
    public FileSystemKind Except { get; }

    /// <summary>Why not there.</summary>
    public string? Why { get; }

    /// <summary>What it needs.</summary>
    public PosixNeeds Needs { get; }

    /// <summary>Runs it in a fresh directory, which is removed afterwards. Throws what the case throws.</summary>
    public void Run(PosixTarget target)
    {
        using var cases = (PosixCases)Activator.CreateInstance(_method.DeclaringType!)!;
        cases.Begin(target);
        _method.Invoke(cases, BindingFlags.DoNotWrapExceptions, null, null, null);
        cases.End();
    }
}
