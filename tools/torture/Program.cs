using System.Globalization;
using ZfsLite.Torture;

if (args is [TortureWorker.Verb, var cpu])
{
    return TortureWorker.Run(int.Parse(cpu, CultureInfo.InvariantCulture));
}

return TortureCommand.Run(args);
