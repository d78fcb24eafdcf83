using System.IO;
using UnrealBuildTool;

// The native client of Bunraku: its header, and its library for the platform that is built for.
public class BunrakuClient : ModuleRules
{
    public BunrakuClient(ReadOnlyTargetRules Target) : base(Target)
    {
        Type = ModuleType.External;

        PublicIncludePaths.Add(FindHeaders());

        string Folder = Path.Combine(PluginDirectory, "Binaries", "ThirdParty", "BunrakuClient", Target.Platform.ToString());
        if (Target.Platform == UnrealTargetPlatform.Win64)
        {
            PublicAdditionalLibraries.Add(Existing(Path.Combine(Folder, "bunraku_client.lib")));
            // The module loads it by its full path first; Windows would not look in a plugin's folder.
            PublicDelayLoadDLLs.Add("bunraku_client.dll");
            RuntimeDependencies.Add(Existing(Path.Combine(Folder, "bunraku_client.dll")));
        }
        else if (Target.Platform == UnrealTargetPlatform.Mac)
        {
            string Library = Existing(Path.Combine(Folder, "libbunraku_client.dylib"));
            PublicDelayLoadDLLs.Add(Library);
            RuntimeDependencies.Add(Library);
        }
        else if (Target.Platform == UnrealTargetPlatform.Linux)
        {
            string Library = Existing(Path.Combine(Folder, "libbunraku_client.so"));
            PublicAdditionalLibraries.Add(Library);
            PublicDelayLoadDLLs.Add(Library);
            RuntimeDependencies.Add(Library);
        }
        else
        {
            throw new System.NotSupportedException(
                "Bunraku has no native client for " + Target.Platform + "; it supports Win64, Linux and Mac.");
        }
    }

    // Beside this file in a copied plugin, in the native client's own folder within Bunraku's repository.
    private string FindHeaders()
    {
        string Copied = Path.Combine(ModuleDirectory, "include");
        string InRepository = Path.Combine(PluginDirectory, "..", "..", "native", "include");
        string Headers = Directory.Exists(Copied) ? Copied : Path.GetFullPath(InRepository);
        Existing(Path.Combine(Headers, "bunraku", "client.h"));
        Existing(Path.Combine(Headers, "bunraku", "speech.hpp"));
        Existing(Path.Combine(Headers, "bunraku", "wanted.hpp"));
        return Headers;
    }

    private string Existing(string File)
    {
        if (!System.IO.File.Exists(File))
        {
            throw new FileNotFoundException(
                "Bunraku needs " + File + ". Its README.md says where this file comes from.", File);
        }
        return File;
    }
}
