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
        uint _unityHandle;

        public ClientHandle(IntPtr client) : base(true)
        {
            SetHandle(client);
        }

        /// <summary>The number by which the render thread finds this client; good until it is closed.</summary>
        public uint RegisterForUnity()
        {
            if (_unityHandle == 0)
                _unityHandle = Native.UnityRegister(this);
            if (_unityHandle == 0)
                throw new InvalidOperationException("too many clients upload on the render thread; use Copy");
            return _unityHandle;
        }

        protected override bool ReleaseHandle()
        {
            if (_unityHandle != 0)
                Native.UnityUnregister(_unityHandle);
            Native.Close(handle);
            return true;
        }
    }
}
