using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using Bunraku.Interop;
#if UNITY_EDITOR
using UnityEditor;
#endif
using UnityEngine;

namespace Bunraku
{
    /// <summary>What a client is opened with; see the fields of <see cref="AvatarReceiver"/>.</summary>
    struct ClientSettings
    {
        public string Endpoint;
        public string Stream;
        public string KeyFile;
        public AvatarEncoding Encoding;
        public float WantedFps;
        public bool Premultiplied;
        public bool BottomUp;
    }

    /// <summary>
    /// One open native client. Knows every other one, so that none outlives the scripts: all are closed before the
    /// editor reloads them, when it quits, and when play mode begins.
    /// </summary>
    sealed unsafe class NativeClient : IDisposable
    {
        static readonly List<NativeClient> Clients = new List<NativeClient>();

        readonly ClientHandle _handle;

        NativeClient(IntPtr client)
        {
            _handle = new ClientHandle(client);
            Clients.Add(this);
        }

        /// <summary>How many clients are open in this script domain.</summary>
        public static int OpenCount
        {
            get { return Clients.Count; }
        }

        public bool IsOpen
        {
            get { return !_handle.IsClosed; }
        }

        public ClientHandle Handle
        {
            get { return _handle; }
        }

        /// <summary>Begin to receive; returns null and says why if that cannot be. Throws nothing.</summary>
        public static NativeClient Open(ClientSettings settings, out string why)
        {
            why = Library.WhyNot();
            if (why != null)
                return null;
            using (var text = new NativeText())
            {
                var room = stackalloc byte[Native.WhyBytes];
                var keys = stackalloc byte[3 * Native.KeyBytes];
                var options = new Options
                {
                    StructSize = (uint)sizeof(Options),
                    Encodings = (uint)settings.Encoding,
                    PixelFormat = (uint)PixelFormat.Rgba8,
                    Flags = (uint)((settings.Premultiplied ? OptionFlags.Premultiplied : OptionFlags.None)
                        | (settings.BottomUp ? OptionFlags.BottomUp : OptionFlags.None)),
                    Endpoint = text.OfGiven(settings.Endpoint),
                    Stream = text.OfGiven(settings.Stream),
                    ClientName = text.Of("unity"),
                    WantedFps = settings.WantedFps
                };
                if (!string.IsNullOrEmpty(settings.KeyFile))
                {
                    options.CurveServerKey = keys;
                    options.CurvePublicKey = keys + Native.KeyBytes;
                    options.CurveSecretKey = keys + 2 * Native.KeyBytes;
                    var read = (Result)Native.ReadKeyFile(text.Of(settings.KeyFile), options.CurveServerKey,
                        options.CurvePublicKey, options.CurveSecretKey, room, (UIntPtr)Native.WhyBytes);
                    if (read < Result.Ok)
                    {
                        why = Reason(read, room);
                        return null;
                    }
                }
                IntPtr client;
                var opened = (Result)Native.Open(&options, &client, room, (UIntPtr)Native.WhyBytes);
                if (opened >= Result.Ok)
                    return new NativeClient(client);
                why = Reason(opened, room);
                return null;
            }
        }

        /// <summary>Lease the newest frame. True if there is one that was not taken before; then Release it.</summary>
        public bool TryAcquire(out Frame frame)
        {
            frame = new Frame { StructSize = (uint)sizeof(Frame) };
            fixed (Frame* pointer = &frame)
                return (Result)Native.Acquire(_handle, pointer) == Result.NewFrame;
        }

        public void Release(uint lease)
        {
            Native.Release(_handle, lease);
        }

        public void ReadStatus(ref Status status)
        {
            status.StructSize = (uint)sizeof(Status);
            fixed (Status* pointer = &status)
                Native.GetStatus(_handle, pointer);
        }

        public Result Send(ref ControlState state, out ulong controlId)
        {
            state.StructSize = (uint)sizeof(ControlState);
            controlId = 0;
            fixed (ControlState* pointer = &state)
            fixed (ulong* id = &controlId)
                return (Result)Native.SendControl(_handle, pointer, id);
        }

        /// <summary>What the producer's welcome told, null before it came. Allocates.</summary>
        public AvatarInfo ReadInfo()
        {
            var info = new Info { StructSize = (uint)sizeof(Info) };
            if ((Result)Native.GetInfo(_handle, &info) < Result.Ok)
                return null;
            var controls = new List<AvatarControlSpec>();
            var spec = new ControlSpec { StructSize = (uint)sizeof(ControlSpec) };
            for (uint i = 0; i < info.ControlCount; i++)
                if ((Result)Native.GetControl(_handle, i, &spec) >= Result.Ok)
                    controls.Add(new AvatarControlSpec(
                        NativeText.Read(spec.Name, Native.NameBytes), NativeText.Read(spec.Group, Native.NameBytes),
                        spec.Minimum, spec.Maximum, spec.Rest));
            return new AvatarInfo(
                NativeText.Read(info.Character, Native.NameBytes), (int)info.Width, (int)info.Height, info.Fps,
                info.HasMapping != 0, controls, ReadNames(info.IdentityCount, false),
                ReadNames(info.ExpressionCount, true));
        }

        public void Dispose()
        {
            Clients.Remove(this);
            _handle.Dispose();
        }

        /// <summary>Close all clients of this script domain; whoever used one finds it closed.</summary>
        public static void CloseAll()
        {
            while (Clients.Count > 0)
                Clients[Clients.Count - 1].Dispose();
        }

        // Without a domain reload static fields outlive play mode.
        [RuntimeInitializeOnLoadMethod(RuntimeInitializeLoadType.SubsystemRegistration)]
        static void StartAfresh()
        {
            CloseAll();
        }

#if UNITY_EDITOR
        [InitializeOnLoadMethod]
        static void CloseWithTheScripts()
        {
            AssemblyReloadEvents.beforeAssemblyReload += CloseAll;
            EditorApplication.quitting += CloseAll;
        }
#endif

        List<string> ReadNames(uint count, bool expressions)
        {
            var names = new List<string>();
            var room = stackalloc byte[Native.SourceBytes];
            for (uint i = 0; i < count; i++)
            {
                var result = expressions
                    ? Native.GetExpression(_handle, i, room, (UIntPtr)Native.SourceBytes)
                    : Native.GetIdentity(_handle, i, room, (UIntPtr)Native.SourceBytes);
                if ((Result)result >= Result.Ok)
                    names.Add(NativeText.Read(room, Native.SourceBytes));
            }
            return names;
        }

        static string Reason(Result result, byte* why)
        {
            var reason = NativeText.Read(why, Native.WhyBytes);
            return reason.Length > 0 ? reason : Library.TextOf(result);
        }
    }
}
