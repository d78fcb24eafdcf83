// A small stand-in for the part of UnrealBuildTool that the plugin's Build.cs files touch, and a program that runs them:
//
//     build_tool.exe PLUGIN_DIRECTORY PLATFORM MODULE
//
// It prints what the rules ask for, one "list=item" per line, or "error=..." and ends with 1.
using System;
using System.Collections.Generic;
using System.IO;

namespace UnrealBuildTool
{
    public sealed class UnrealTargetPlatform
    {
        private readonly string Name;

        private UnrealTargetPlatform(string Name)
        {
            this.Name = Name;
        }

        public static readonly UnrealTargetPlatform Win64 = new UnrealTargetPlatform("Win64");
        public static readonly UnrealTargetPlatform Mac = new UnrealTargetPlatform("Mac");
        public static readonly UnrealTargetPlatform Linux = new UnrealTargetPlatform("Linux");
        public static readonly UnrealTargetPlatform Android = new UnrealTargetPlatform("Android");

        public static UnrealTargetPlatform Named(string Name)
        {
            foreach (UnrealTargetPlatform Platform in new[] { Win64, Mac, Linux, Android })
            {
                if (Platform.Name == Name)
                {
                    return Platform;
                }
            }
            throw new ArgumentException("no platform " + Name);
        }

        public override string ToString()
        {
            return Name;
        }
    }

    public class ReadOnlyTargetRules
    {
        public readonly UnrealTargetPlatform Platform;

        public ReadOnlyTargetRules(UnrealTargetPlatform Platform)
        {
            this.Platform = Platform;
        }
    }

    public class RuntimeDependencyList
    {
        public readonly List<string> Paths = new List<string>();

        public void Add(string InPath)
        {
            Paths.Add(InPath);
        }
    }

    public class ModuleRules
    {
        public enum ModuleType { CPlusPlus, External }

        public enum PCHUsageMode { Default, NoPCHs, UseExplicitOrSharedPCHs }

        // The real tool sets these before the constructor of a module's rules runs.
        public static string NextModuleDirectory;
        public static string NextPluginDirectory;

        public ModuleType Type = ModuleType.CPlusPlus;
        public PCHUsageMode PCHUsage = PCHUsageMode.Default;
        public readonly string ModuleDirectory = NextModuleDirectory;
        public readonly string PluginDirectory = NextPluginDirectory;
        public readonly List<string> PublicIncludePaths = new List<string>();
        public readonly List<string> PublicDependencyModuleNames = new List<string>();
        public readonly List<string> PrivateDependencyModuleNames = new List<string>();
        public readonly List<string> PublicAdditionalLibraries = new List<string>();
        public readonly List<string> PublicDelayLoadDLLs = new List<string>();
        public readonly RuntimeDependencyList RuntimeDependencies = new RuntimeDependencyList();
        public readonly ReadOnlyTargetRules Target;

        public ModuleRules(ReadOnlyTargetRules Target)
        {
            this.Target = Target;
        }
    }

    public static class Program
    {
        public static int Main(string[] Words)
        {
            ModuleRules.NextPluginDirectory = Words[0];
            string Rules = Directory.GetFiles(Words[0], Words[2] + ".Build.cs", SearchOption.AllDirectories)[0];
            ModuleRules.NextModuleDirectory = Path.GetDirectoryName(Rules);
            ReadOnlyTargetRules Target = new ReadOnlyTargetRules(UnrealTargetPlatform.Named(Words[1]));
            ModuleRules Module;
            try
            {
                Module = (ModuleRules)Activator.CreateInstance(System.Type.GetType(Words[2]), Target);
            }
            catch (System.Reflection.TargetInvocationException Error)
            {
                Console.WriteLine("error=" + Error.InnerException.Message);
                return 1;
            }
            Console.WriteLine("type=" + Module.Type);
            Say("include", Module.PublicIncludePaths);
            Say("public", Module.PublicDependencyModuleNames);
            Say("private", Module.PrivateDependencyModuleNames);
            Say("library", Module.PublicAdditionalLibraries);
            Say("delay", Module.PublicDelayLoadDLLs);
            Say("runtime", Module.RuntimeDependencies.Paths);
            return 0;
        }

        private static void Say(string List, IEnumerable<string> Items)
        {
            foreach (string Item in Items)
            {
                Console.WriteLine(List + "=" + Item);
            }
        }
    }
}
