using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace Bunraku.Interop
{
    /// <summary>
    /// Strings as zero-terminated UTF-8 in native memory, each encoded once: asking for the same one again allocates
    /// nothing. Pointers stay valid until Dispose. For one thread.
    /// </summary>
    sealed unsafe class NativeText : IDisposable
    {
        readonly Dictionary<string, IntPtr> _texts = new Dictionary<string, IntPtr>(StringComparer.Ordinal);

        ~NativeText()
        {
            Free();
        }

        /// <summary>Null for null.</summary>
        public byte* Of(string text)
        {
            if (text == null)
                return null;
            IntPtr known;
            if (_texts.TryGetValue(text, out known))
                return (byte*)known;
            var bytes = Encoding.UTF8.GetBytes(text);
            var memory = Marshal.AllocHGlobal(bytes.Length + 1);
            Marshal.Copy(bytes, 0, memory, bytes.Length);
            Marshal.WriteByte(memory, bytes.Length, 0);
            _texts.Add(text, memory);
            return (byte*)memory;
        }

        /// <summary>Null for null and for the empty string, which the C interface takes as "not given".</summary>
        public byte* OfGiven(string text)
        {
            return string.IsNullOrEmpty(text) ? null : Of(text);
        }

        public void Dispose()
        {
            Free();
            GC.SuppressFinalize(this);
        }

        /// <summary>Read a C string that may fill its room without a zero. Allocates the result.</summary>
        public static string Read(byte* text, int room)
        {
            var length = 0;
            while (length < room && text[length] != 0)
                length++;
            return length == 0 ? "" : Encoding.UTF8.GetString(text, length);
        }

        void Free()
        {
            foreach (var memory in _texts.Values)
                Marshal.FreeHGlobal(memory);
            _texts.Clear();
        }
    }
}
