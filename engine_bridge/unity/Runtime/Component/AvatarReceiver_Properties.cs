using System;
using System.Diagnostics;
using Bunraku.Interop;
using UnityEngine;
using UnityEngine.UI;

namespace Bunraku
{
    // What the inspector shows and what scripts may read and set. Setting a field of the stream reopens it with the
    // next Update.
    public sealed unsafe partial class AvatarReceiver
    {
        [Header("Stream")]
        [Tooltip("Where the frames come from, for example tcp://127.0.0.1:5760. Empty: found by name on this host.")]
        [SerializeField] string _endpoint = "";
        [Tooltip("Name of the stream. Empty: the first one heard.")]
        [SerializeField] string _stream = "";
        [Tooltip("How pixels travel. Automatic: shared memory on this host, otherwise raw. Jpeg for a network.")]
        [SerializeField] AvatarEncoding _encoding = AvatarEncoding.Automatic;
        [Tooltip("A client's key file, made by \"bunraku keys add\". Empty: no encryption.")]
        [SerializeField] string _keyFile = "";
        [Tooltip("The producer may draw no more frames per second than this if nobody wants more. 0: as it likes.")]
        [Min(0)]
        [SerializeField] float _wantedFps = 0;

        [Header("Picture")]
        [Tooltip("How a frame reaches the GPU. Automatic is Copy; docs/unity.md says why.")]
        [SerializeField] AvatarUploadPath _uploadPath = AvatarUploadPath.Automatic;
        [Tooltip("Colour times alpha, for materials that blend One, OneMinusSrcAlpha. Exact in Gamma projects only.")]
        [SerializeField] bool _premultiplied = false;
        [Tooltip("The native thread turns the picture over, so that any material shows it upright. "
            + "Off: rows lie top first, and UVs are flipped on the target below, which costs nothing.")]
        [SerializeField] bool _upright = false;

        [Header("Target")]
        [Tooltip("Shows the picture. Empty: the renderer of this object, if it has one.")]
        [SerializeField] Renderer _targetRenderer = null;
        [Tooltip("Texture property of the renderer's material: _MainTex, in URP _BaseMap.")]
        [SerializeField] string _materialProperty = "_MainTex";
        [Tooltip("Colour property whose alpha fades the picture: _Color, in URP _BaseColor.")]
        [SerializeField] string _colorProperty = "_Color";
        [Tooltip("Shows the picture on a canvas. Empty: the RawImage of this object, if it has one.")]
        [SerializeField] RawImage _targetImage = null;

        [Header("When the producer is silent")]
        [SerializeField] AvatarSilence _whenSilent = AvatarSilence.Hold;
        [Min(0)]
        [SerializeField] float _fadeSeconds = 1;

        bool _settingsChanged;
        string _whyNot;
        long _liveAt;

        /// <summary>Raised in Update when <see cref="State"/> has changed.</summary>
        public event Action<AvatarState> StateChanged;

        /// <summary>Raised in Update with width and height when <see cref="Texture"/> has become another one.</summary>
        public event Action<int, int> SizeChanged;

        #region Settings

        public string Endpoint
        {
            get { return _endpoint; }
            set { Set(ref _endpoint, value); }
        }

        public string Stream
        {
            get { return _stream; }
            set { Set(ref _stream, value); }
        }

        public AvatarEncoding Encoding
        {
            get { return _encoding; }
            set { Set(ref _encoding, value); }
        }

        public string KeyFile
        {
            get { return _keyFile; }
            set { Set(ref _keyFile, value); }
        }

        public float WantedFps
        {
            get { return _wantedFps; }
            set { Set(ref _wantedFps, value); }
        }

        public AvatarUploadPath UploadPath
        {
            get { return _uploadPath; }
            set { Set(ref _uploadPath, value); }
        }

        public bool Premultiplied
        {
            get { return _premultiplied; }
            set { Set(ref _premultiplied, value); }
        }

        public bool Upright
        {
            get { return _upright; }
            set { Set(ref _upright, value); }
        }

        public Renderer TargetRenderer
        {
            get { return _targetRenderer; }
            set { Set(ref _targetRenderer, value); }
        }

        public string MaterialProperty
        {
            get { return _materialProperty; }
            set { Set(ref _materialProperty, value); }
        }

        public string ColorProperty
        {
            get { return _colorProperty; }
            set { Set(ref _colorProperty, value); }
        }

        public RawImage TargetImage
        {
            get { return _targetImage; }
            set { Set(ref _targetImage, value); }
        }

        public AvatarSilence WhenSilent
        {
            get { return _whenSilent; }
            set { _whenSilent = value; }
        }

        public float FadeSeconds
        {
            get { return _fadeSeconds; }
            set { _fadeSeconds = value; }
        }

        #endregion

        #region What is known

        /// <summary>
        /// The picture, null before the first frame. Owned by this component, which makes a new one when the size
        /// changes. RGBA32, sRGB; row 0 is the topmost unless <see cref="Upright"/>, so sample it with v turned over.
        /// </summary>
        public Texture2D Texture
        {
            get { return _picture == null ? null : _picture.Texture; }
        }

        /// <summary>How the receiver stands with its producer; looked up ten times a second.</summary>
        public AvatarState State
        {
            get
            {
                if (_client != null)
                    return (AvatarState)_status.State;
                return _whyNot != null ? AvatarState.Error : AvatarState.Lost;
            }
        }

        /// <summary>The same for the control channel.</summary>
        public AvatarState ControlState
        {
            get { return (AvatarState)_status.ControlState; }
        }

        /// <summary>Why nothing can be received and how to fix it, null if all is well. May allocate.</summary>
        public string WhyNot
        {
            get
            {
                if (_whyNot != null)
                    return _whyNot;
                return State == AvatarState.Error || State == AvatarState.Incompatible ? LastError : null;
            }
        }

        /// <summary>What was wrong with the last message that was dropped or refused, or empty. Allocates.</summary>
        public string LastError
        {
            get { fixed (byte* text = _status.LastError) return NativeText.Read(text, Native.ErrorBytes); }
        }

        /// <summary>Its code, one of those of docs/protocol.md. Allocates.</summary>
        public string LastErrorCode
        {
            get { fixed (byte* text = _status.LastErrorCode) return NativeText.Read(text, Native.ErrorCodeBytes); }
        }

        /// <summary>Name of the stream that is shown, empty before it is known. Allocates.</summary>
        public string StreamInUse
        {
            get { fixed (byte* text = _status.Stream) return NativeText.Read(text, Native.NameBytes); }
        }

        /// <summary>Engine that draws, for example "onnxruntime/CPU fp32". Allocates.</summary>
        public string Provider
        {
            get { fixed (byte* text = _status.Provider) return NativeText.Read(text, Native.NameBytes); }
        }

        /// <summary>How the frames travel now.</summary>
        public AvatarEncoding EncodingInUse
        {
            get { return (AvatarEncoding)_status.Encoding; }
        }

        /// <summary>Whether the producer says that a neural network draws the pictures.</summary>
        public bool MadeByAi
        {
            get { return _status.MadeByAi != 0; }
        }

        /// <summary>Licence or consent reference of the character. Allocates.</summary>
        public string Source
        {
            get { fixed (byte* text = _status.Source) return NativeText.Read(text, Native.SourceBytes); }
        }

        /// <summary>Number of the frame shown; rises within a session, a gap is a dropped frame.</summary>
        public ulong FrameId
        {
            get { return _frame.FrameId; }
        }

        /// <summary>Number that the producer of the frame shown drew at its start.</summary>
        public ulong Session
        {
            get { return _frame.Session; }
        }

        /// <summary>The control state that the frame shows; see <see cref="AvatarControl.LastControlId"/>.</summary>
        public ulong ControlId
        {
            get { return _frame.ControlId; }
        }

        public AvatarLatency Latency
        {
            get
            {
                var unknown = _client == null;
                return new AvatarLatency
                {
                    AgeMsP50 = unknown ? double.NaN : _status.AgeTakeMsP50,
                    AgeMsP99 = unknown ? double.NaN : _status.AgeTakeMsP99,
                    MotionToPhotonMs = unknown ? double.NaN : _status.MotionToPhotonMsP50
                };
            }
        }

        public AvatarCounts Counts
        {
            get
            {
                return new AvatarCounts
                {
                    Received = _status.Received,
                    Shown = _status.Shown,
                    Skipped = _status.Skipped,
                    Late = _status.Late,
                    Missed = _status.Missed,
                    Bad = _status.Bad,
                    Reconnects = _status.Reconnects,
                    ControlsRefused = _status.ControlRefused
                };
            }
        }

        /// <summary>1, or less while the picture fades because the producer is silent.</summary>
        public float Opacity
        {
            get
            {
                if (_whenSilent == AvatarSilence.Hold || State == AvatarState.Live)
                    return 1;
                var silent = (float)((Stopwatch.GetTimestamp() - _liveAt) / (double)Stopwatch.Frequency);
                return Mathf.Clamp01(1 - silent / Mathf.Max(_fadeSeconds, 1e-3f));
            }
        }

        #endregion

        /// <summary>The open connection, null if there is none; another one after each opening.</summary>
        internal NativeClient Client
        {
            get { return _client != null && _client.IsOpen ? _client : null; }
        }

        /// <summary>What is known of the frame shown; its pixels are gone.</summary>
        internal Frame ShownFrame
        {
            get { return _frame; }
        }

        ClientSettings Settings
        {
            get
            {
                return new ClientSettings
                {
                    Endpoint = _endpoint,
                    Stream = _stream,
                    KeyFile = _keyFile,
                    Encoding = _encoding,
                    WantedFps = _wantedFps,
                    Premultiplied = _premultiplied,
                    BottomUp = _upright
                };
            }
        }

        void Set<T>(ref T field, T value)
        {
            if (System.Collections.Generic.EqualityComparer<T>.Default.Equals(field, value))
                return;
            field = value;
            _settingsChanged = true;
        }
    }
}
