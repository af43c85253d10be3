using ZfsLite.Lab;

return LabCommand.Run(args);
