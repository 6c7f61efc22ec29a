using System.Security.Cryptography;
using System.Text;
using GlmTune.Files;
using GlmTune.Server;

namespace GlmTune.Studio;

/// <summary>The key that a studio requires if its user has not named any. It is kept beside the runs, readable by the
/// user alone, so that an open page still works after the studio was restarted.</summary>
internal static class StudioKey
{
    private const int Bytes = 24;

    /// <summary>Reads the key of a studio, or makes one.</summary>
    /// <param name="folder">The studio's own folder; created for the user alone if it is missing.</param>
    /// <exception cref="InvalidDataException">The file does not contain a key.</exception>
    /// <exception cref="IOException">The file cannot be read or written.</exception>
    public static string ReadOrMake(string folder)
    {
        Disk.CreatePrivateFolder(folder);
        var path = Path.Combine(folder, "key");
        if (!File.Exists(path))
        {
            Write(path);
        }

        return ApiKeyFile.Read(path)[0];
    }

    /// <summary>Writes a new key into a file that only the user can read.</summary>
    public static void Write(string path) =>
        Disk.WritePrivateFile(
            path,
            Encoding.ASCII.GetBytes(Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(Bytes)) + "\n")
        );
}
