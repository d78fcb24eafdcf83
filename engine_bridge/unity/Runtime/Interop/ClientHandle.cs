using System;
using Microsoft.Win32.SafeHandles;

namespace Bunraku.Interop
{
    /// <summary>
    /// Owns a bunraku_client. Closed on Dispose; if that was forgotten, by the finaliser, which also runs when a script
    /// domain is unloaded. The native side never calls into managed code, so neither can hang.
    /// </summary>
    sealed class ClientHandle : SafeHandleZeroOrMinusOneIsInvalid
    {
        public ClientHandle(IntPtr client) : base(true)
        {
            SetHandle(client);
        }

        protected override bool ReleaseHandle()
        {
            Native.Close(handle);
            return true;
        }
    }
}
