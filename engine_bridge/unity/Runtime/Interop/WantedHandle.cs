using System;
using Microsoft.Win32.SafeHandles;

namespace Bunraku.Interop
{
    /// <summary>Owns a bunraku_wanted. Freed on Dispose; if that was forgotten, by the finaliser.</summary>
    sealed class WantedHandle : SafeHandleZeroOrMinusOneIsInvalid
    {
        public WantedHandle(IntPtr wanted) : base(true)
        {
            SetHandle(wanted);
        }

        protected override bool ReleaseHandle()
        {
            Native.WantedFree(handle);
            return true;
        }
    }
}
