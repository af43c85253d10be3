Console.Error.WriteLine("zfslite: not built yet");
return 2;
