// The library from C#, by P/Invoke: scores pictures.  Structs are declared as differnet.json describes them.
//
//   dotnet run -- part.dnm photo.jpg ...      (with Inspect.csproj beside it; the library where the loader finds it)
//   mcs -unsafe Inspect.cs && mono Inspect.exe part.dnm photo.jpg ...
using System;
using System.Runtime.InteropServices;
using System.Text;

static class Native
{
    const string Library = "different"; // libdifferent.so

    [StructLayout(LayoutKind.Sequential)]
    public unsafe struct Error
    {
        public int Status;
        public fixed byte Message[252];

        public override string ToString()
        {
            fixed (byte* text = Message)
            {
                int length = 0;
                while (text[length] != 0)
                    length++;
                return Encoding.UTF8.GetString(text, length);
            }
        }
    }

    // The first fields of dn_score: the library writes no more of it than its size says.
    [StructLayout(LayoutKind.Sequential)]
    public struct Score
    {
        public uint StructSize;
        public int Anomalous; // 1 anomalous, 0 normal, -1 no verdict
        public double Value;
        public double LogLikelihood;
        public double PValue;
        public double Threshold;
    }

    [DllImport(Library)] public static extern int dn_model_open_path(byte[] path, IntPtr options, out IntPtr model, out Error error);
    [DllImport(Library)] public static extern void dn_model_unref(IntPtr model);
    [DllImport(Library)] public static extern int dn_scorer_create(IntPtr model, IntPtr options, out IntPtr scorer, out Error error);
    [DllImport(Library)] public static extern void dn_score_init_size(ref Score score, UIntPtr size);
    [DllImport(Library)] public static extern int dn_scorer_score_path(IntPtr scorer, byte[] path, ref Score score);
    [DllImport(Library)] public static extern IntPtr dn_scorer_error(IntPtr scorer);
    [DllImport(Library)] public static extern void dn_scorer_free(IntPtr scorer);

    public static byte[] Path(string text) => Encoding.UTF8.GetBytes(text + "\0");
}

static class Inspect
{
    static int Main(string[] arguments)
    {
        if (arguments.Length < 2)
        {
            Console.Error.WriteLine("usage: Inspect MODEL IMAGE...");
            return 2;
        }
        IntPtr model = IntPtr.Zero, scorer = IntPtr.Zero;
        try
        {
            Native.Error error;
            if (Native.dn_model_open_path(Native.Path(arguments[0]), IntPtr.Zero, out model, out error) != 0 ||
                Native.dn_scorer_create(model, IntPtr.Zero, out scorer, out error) != 0)
                throw new Exception(error.ToString());
            for (int i = 1; i < arguments.Length; i++)
            {
                string path = arguments[i];
                var score = new Native.Score();
                Native.dn_score_init_size(ref score, (UIntPtr)Marshal.SizeOf(typeof(Native.Score)));
                if (Native.dn_scorer_score_path(scorer, Native.Path(path), ref score) != 0)
                    throw new Exception(Marshal.PtrToStructure<Native.Error>(Native.dn_scorer_error(scorer)).ToString());
                Console.WriteLine($"{path}: score {score.Value:F4}, anomalous {score.Anomalous}");
            }
            return 0;
        }
        catch (Exception failure)
        {
            Console.Error.WriteLine(failure.Message);
            return 2;
        }
        finally
        {
            Native.dn_scorer_free(scorer); // NULL is allowed
            Native.dn_model_unref(model);
        }
    }
}
