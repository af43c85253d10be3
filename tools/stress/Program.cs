Console.Error.WriteLine("stress: not built yet");
return 2;
