using System;

namespace Bunraku.Interop
{
    /// <summary>Whether the native library is there and of the right version, and what to do if not.</summary>
    static unsafe class Library
    {
        /// <summary>File that the editor or the player of this platform loads, relative to the package.</summary>
        public static string ExpectedFile
        {
            get
            {
#if UNITY_EDITOR_WIN || (UNITY_STANDALONE_WIN && !UNITY_EDITOR)
                return "Plugins/Windows/x86_64/bunraku_client.dll";
#elif UNITY_EDITOR_OSX || (UNITY_STANDALONE_OSX && !UNITY_EDITOR)
                return "Plugins/macOS/libbunraku_client.dylib";
#elif UNITY_IOS && !UNITY_EDITOR
                return "a static library linked into the application";
#else
                return "Plugins/Linux/x86_64/libbunraku_client.so";
#endif
            }
        }

        /// <summary>Null if all is well, otherwise a sentence for people. Never throws.</summary>
        public static string WhyNot()
        {
            uint version;
            try
            {
                version = Native.GetAbiVersion();
            }
            catch (DllNotFoundException error)
            {
                return "library not found: " + ExpectedFile + ". Put it there as Plugins/README.md says, then restart "
                    + "the editor. (" + error.Message + ")";
            }
            catch (EntryPointNotFoundException error)
            {
                return "the library is not Bunraku's, or an old one: " + error.Message + ". Replace " + ExpectedFile +
                    " and restart the editor.";
            }
            catch (BadImageFormatException error)
            {
                return "the library is made for another processor: " + error.Message + ". Replace " + ExpectedFile +
                    " and restart the editor.";
            }
            if (version == Native.AbiVersion)
                return null;
            return "the library speaks version " + version + " of its interface, this package version " +
                Native.AbiVersion + ". Take both from one release, then restart the editor.";
        }

        /// <summary>Version and abilities of the loaded library, or why there is none.</summary>
        public static string Describe()
        {
            return WhyNot() ?? NativeText.Read(Native.GetVersion(), 256);
        }

        /// <summary>A sentence for a result below 0.</summary>
        public static string TextOf(Result result)
        {
            return NativeText.Read(Native.ResultText((int)result), 256);
        }
    }
}
