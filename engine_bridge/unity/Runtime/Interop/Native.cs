// The C interface of the native client and nothing else: twins of engine_bridge/native/include/bunraku/client.h and
// unity.h. A field here is the C field in PascalCase; a test compares every offset and size with the C compiler's.
// All structs are blittable, so that a call neither allocates nor copies them.

using System;
using System.Runtime.InteropServices;

namespace Bunraku.Interop
{
    /// <summary>Twin of bunraku_result.</summary>
    enum Result
    {
        Ok = 0,
        NewFrame = 1,
        BadArgument = -1,
        BadEndpoint = -2,
        BadKey = -3,
        NoMemory = -4,
        NotFound = -5,
        TooMany = -6,
        NotFinite = -7,
        TooLarge = -8,
        Unsupported = -9
    }

    /// <summary>Twin of bunraku_pixel_format.</summary>
    enum PixelFormat : uint
    {
        Rgba8 = 0,
        Bgra8 = 1
    }

    /// <summary>Twin of the flags of bunraku_options.</summary>
    [Flags]
    enum OptionFlags : uint
    {
        None = 0,
        Premultiplied = 1,
        BottomUp = 2
    }

    /// <summary>Twin of bunraku_options.</summary>
    [StructLayout(LayoutKind.Sequential)]
    unsafe struct Options
    {
        public uint StructSize;
        public uint Encodings;
        public uint PixelFormat;
        public uint Flags;
        public byte* Endpoint;
        public byte* ControlEndpoint;
        public byte* Stream;
        public byte* ClientName;
        public byte* CurveServerKey;
        public byte* CurvePublicKey;
        public byte* CurveSecretKey;
        public float WantedFps;
        public uint Reserved;
    }

    /// <summary>Twin of bunraku_frame.</summary>
    [StructLayout(LayoutKind.Sequential)]
    unsafe struct Frame
    {
        public uint StructSize;
        public uint Lease;
        public uint Width;
        public uint Height;
        public uint Stride;
        public uint PixelFormat;
        public uint Encoding;
        public uint Reserved;
        public ulong ByteCount;
        public byte* Pixels;
        public ulong FrameId;
        public ulong Session;
        public long CaptureNs;
        public long RenderStartNs;
        public long PublishNs;
        public long ReceivedNs;
        public long AgeNs;
        public ulong ControlId;
        public long ControlTimestampNs;
        public fixed byte Stream[Native.NameBytes];
        public fixed byte Provider[Native.NameBytes];
    }

    /// <summary>Twin of bunraku_status.</summary>
    [StructLayout(LayoutKind.Sequential)]
    unsafe struct Status
    {
        public uint StructSize;
        public uint State;
        public uint ControlState;
        public uint Encoding;
        public ulong Session;
        public ulong Received;
        public ulong Shown;
        public ulong Skipped;
        public ulong Late;
        public ulong Missed;
        public ulong Bad;
        public ulong Reconnects;
        public ulong ControlSent;
        public ulong ControlRefused;
        public double AgeArrivalMsP50;
        public double AgeArrivalMsP99;
        public double AgeTakeMsP50;
        public double AgeTakeMsP99;
        public double MotionToPhotonMsP50;
        public double ProducerFps;
        public double ProducerEngineMsP50;
        public fixed byte Stream[Native.NameBytes];
        public fixed byte Provider[Native.NameBytes];
        public fixed byte LastErrorCode[Native.ErrorCodeBytes];
        public fixed byte LastError[Native.ErrorBytes];
        public uint MadeByAi;
        public uint Reserved;
        public fixed byte Generator[Native.NameBytes];
        public fixed byte Source[Native.SourceBytes];
        public fixed byte Model[Native.SourceBytes];
    }

    /// <summary>Twin of bunraku_info.</summary>
    [StructLayout(LayoutKind.Sequential)]
    unsafe struct Info
    {
        public uint StructSize;
        public uint Width;
        public uint Height;
        public uint HasMapping;
        public uint ControlCount;
        public uint IdentityCount;
        public uint ExpressionCount;
        public uint Reserved;
        public double Fps;
        public fixed byte Character[Native.NameBytes];
    }

    /// <summary>Twin of bunraku_control_spec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    unsafe struct ControlSpec
    {
        public uint StructSize;
        public float Minimum;
        public float Maximum;
        public float Rest;
        public fixed byte Name[Native.NameBytes];
        public fixed byte Group[Native.NameBytes];
    }

    /// <summary>Twin of bunraku_control.</summary>
    [StructLayout(LayoutKind.Sequential)]
    unsafe struct Control
    {
        public byte* Name;
        public float Value;
        public uint Reserved;
    }

    /// <summary>Twin of bunraku_control_state.</summary>
    [StructLayout(LayoutKind.Sequential)]
    unsafe struct ControlState
    {
        public uint StructSize;
        public uint ControlCount;
        public Control* Controls;
        public byte* Identity;
        public long Seed;
        public byte* MixIdentity;
        public long MixSeed;
        public float MixAmount;
        public float TruncationPsi;
        public byte* Expression;
        public uint Calibrate;
        public uint Reserved;
    }

    static unsafe class Native
    {
        public const uint AbiVersion = 1; // BUNRAKU_ABI_VERSION
        public const int NameBytes = 64; // BUNRAKU_NAME_BYTES
        public const int ErrorCodeBytes = 16;
        public const int ErrorBytes = 256;
        public const int SourceBytes = 128;
        public const int KeyBytes = 41;
        public const int WhyBytes = 512;

#if UNITY_IOS && !UNITY_EDITOR
        public const string Library = "__Internal";
#else
        public const string Library = "bunraku_client";
#endif

        [DllImport(Library, EntryPoint = "bunraku_abi_version", CallingConvention = CallingConvention.Cdecl)]
        public static extern uint GetAbiVersion();

        [DllImport(Library, EntryPoint = "bunraku_version", CallingConvention = CallingConvention.Cdecl)]
        public static extern byte* GetVersion();

        [DllImport(Library, EntryPoint = "bunraku_result_text", CallingConvention = CallingConvention.Cdecl)]
        public static extern byte* ResultText(int result);

        [DllImport(Library, EntryPoint = "bunraku_open", CallingConvention = CallingConvention.Cdecl)]
        public static extern int Open(Options* options, IntPtr* client, byte* why, UIntPtr whyBytes);

        [DllImport(Library, EntryPoint = "bunraku_close", CallingConvention = CallingConvention.Cdecl)]
        public static extern void Close(IntPtr client);

        [DllImport(Library, EntryPoint = "bunraku_acquire", CallingConvention = CallingConvention.Cdecl)]
        public static extern int Acquire(ClientHandle client, Frame* frame);

        [DllImport(Library, EntryPoint = "bunraku_release", CallingConvention = CallingConvention.Cdecl)]
        public static extern int Release(ClientHandle client, uint lease);

        [DllImport(Library, EntryPoint = "bunraku_get_status", CallingConvention = CallingConvention.Cdecl)]
        public static extern int GetStatus(ClientHandle client, Status* status);

        [DllImport(Library, EntryPoint = "bunraku_get_info", CallingConvention = CallingConvention.Cdecl)]
        public static extern int GetInfo(ClientHandle client, Info* info);

        [DllImport(Library, EntryPoint = "bunraku_get_control", CallingConvention = CallingConvention.Cdecl)]
        public static extern int GetControl(ClientHandle client, uint index, ControlSpec* spec);

        [DllImport(Library, EntryPoint = "bunraku_get_identity", CallingConvention = CallingConvention.Cdecl)]
        public static extern int GetIdentity(ClientHandle client, uint index, byte* name, UIntPtr nameBytes);

        [DllImport(Library, EntryPoint = "bunraku_get_expression", CallingConvention = CallingConvention.Cdecl)]
        public static extern int GetExpression(ClientHandle client, uint index, byte* name, UIntPtr nameBytes);

        [DllImport(Library, EntryPoint = "bunraku_send_control", CallingConvention = CallingConvention.Cdecl)]
        public static extern int SendControl(ClientHandle client, ControlState* state, ulong* controlId);

        [DllImport(Library, EntryPoint = "bunraku_wanted_new", CallingConvention = CallingConvention.Cdecl)]
        public static extern IntPtr WantedNew();

        [DllImport(Library, EntryPoint = "bunraku_wanted_free", CallingConvention = CallingConvention.Cdecl)]
        public static extern void WantedFree(IntPtr wanted);

        [DllImport(Library, EntryPoint = "bunraku_wanted_hold", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedHold(WantedHandle wanted, byte* control, float value);

        [DllImport(Library, EntryPoint = "bunraku_wanted_release", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedRelease(WantedHandle wanted, byte* control);

        [DllImport(Library, EntryPoint = "bunraku_wanted_release_all", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedReleaseAll(WantedHandle wanted);

        [DllImport(Library, EntryPoint = "bunraku_wanted_become", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedBecome(WantedHandle wanted, byte* identity);

        [DllImport(Library, EntryPoint = "bunraku_wanted_become_seed", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedBecomeSeed(WantedHandle wanted, long seed);

        [DllImport(Library, EntryPoint = "bunraku_wanted_leave_identity", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedLeaveIdentity(WantedHandle wanted);

        [DllImport(Library, EntryPoint = "bunraku_wanted_mix", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedMix(WantedHandle wanted, byte* identity, float amount);

        [DllImport(Library, EntryPoint = "bunraku_wanted_mix_seed", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedMixSeed(WantedHandle wanted, long seed, float amount);

        [DllImport(Library, EntryPoint = "bunraku_wanted_end_mix", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedEndMix(WantedHandle wanted);

        [DllImport(Library, EntryPoint = "bunraku_wanted_truncate", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedTruncate(WantedHandle wanted, float psi);

        [DllImport(Library, EntryPoint = "bunraku_wanted_leave_truncation", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedLeaveTruncation(WantedHandle wanted);

        [DllImport(Library, EntryPoint = "bunraku_wanted_express", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedExpress(WantedHandle wanted, byte* expression);

        [DllImport(Library, EntryPoint = "bunraku_wanted_leave_expression", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedLeaveExpression(WantedHandle wanted);

        [DllImport(Library, EntryPoint = "bunraku_wanted_calibrate", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedCalibrate(WantedHandle wanted);

        [DllImport(Library, EntryPoint = "bunraku_wanted_repeat", CallingConvention = CallingConvention.Cdecl)]
        public static extern int WantedRepeat(WantedHandle wanted);

        [DllImport(Library, EntryPoint = "bunraku_send_wanted", CallingConvention = CallingConvention.Cdecl)]
        public static extern int SendWanted(ClientHandle client, WantedHandle wanted, ulong* controlId);

        [DllImport(Library, EntryPoint = "bunraku_request_last", CallingConvention = CallingConvention.Cdecl)]
        public static extern int RequestLast(ClientHandle client);

        [DllImport(Library, EntryPoint = "bunraku_read_key_file", CallingConvention = CallingConvention.Cdecl)]
        public static extern int ReadKeyFile(
            byte* path, byte* serverKey, byte* publicKey, byte* secretKey, byte* why, UIntPtr whyBytes);

        [DllImport(Library, EntryPoint = "bunraku_unity_texture_callback", CallingConvention = CallingConvention.Cdecl)]
        public static extern IntPtr UnityTextureCallback();

        [DllImport(Library, EntryPoint = "bunraku_unity_register", CallingConvention = CallingConvention.Cdecl)]
        public static extern uint UnityRegister(ClientHandle client);

        [DllImport(Library, EntryPoint = "bunraku_unity_unregister", CallingConvention = CallingConvention.Cdecl)]
        public static extern int UnityUnregister(uint unityHandle);
    }
}
