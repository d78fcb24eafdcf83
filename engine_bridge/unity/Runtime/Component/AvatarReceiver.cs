using System;
using System.Diagnostics;
using Bunraku.Interop;
using UnityEngine;

namespace Bunraku
{
    /// <summary>
    /// Shows the newest frame of a live character as a texture. Native code receives and decodes on a thread of its
    /// own; Update takes what is newest, uploads it and never waits, throws or allocates.
    /// </summary>
    [AddComponentMenu("Bunraku/Avatar Receiver")]
    [DisallowMultipleComponent]
    [DefaultExecutionOrder(-100)]
    public sealed partial class AvatarReceiver : MonoBehaviour
    {
        static readonly long StatusInterval = Stopwatch.Frequency / 10;

        NativeClient _client;
        FrameTexture _picture;
        Surface _surface;
        Frame _frame; // the last one taken; its pixels have been given back
        Status _status;
        long _statusAt;
        AvatarState _told = AvatarState.Lost;
        OncePerSecond _complaint;

        #region What Unity calls

        void OnEnable()
        {
            Reopen();
        }

        void OnDisable()
        {
            Close();
            TellState();
        }

        void OnDestroy()
        {
            Close();
            if (_picture != null)
                _picture.Destroy();
        }

        void OnValidate()
        {
            _settingsChanged = true;
        }

        void Update()
        {
            // The edge: whatever goes wrong here must not stop the game's own scripts.
            try
            {
                if (_settingsChanged)
                    Reopen();
                var resized = false;
                if (Client != null)
                {
                    resized = TakeNewest();
                    ReadStatus();
                    _surface.Show(Texture, Opacity, _upright);
                }
                TellState();
                if (resized && SizeChanged != null)
                    SizeChanged(Texture.width, Texture.height);
            }
            catch (Exception error)
            {
                _complaint.Report(error, this);
            }
        }

        #endregion

        /// <summary>Close and open the connection, for example after a key file was replaced.</summary>
        public void Reopen()
        {
            Close();
            _settingsChanged = false;
            _surface = new Surface(this, _targetRenderer, _materialProperty, _colorProperty, _targetImage);
            _client = NativeClient.Open(Settings, out _whyNot);
            if (_client == null)
                _complaint.Warn(_whyNot, this);
        }

        /// <summary>Ask the producer to send its last frame again, for example after a texture was lost.</summary>
        public void RequestLast()
        {
            if (Client != null)
                Native.RequestLast(_client.Handle);
        }

        /// <summary>What the character is and takes; null until the producer has told it. Allocates.</summary>
        public AvatarInfo ReadInfo()
        {
            return Client == null ? null : _client.ReadInfo();
        }

        void Close()
        {
            if (_client != null)
                _client.Dispose();
            _client = null;
            _whyNot = null;
            _status = default(Status);
            _statusAt = 0;
        }

        /// <summary>True if the texture is another one than before.</summary>
        bool TakeNewest()
        {
            Frame frame;
            if (!_client.TryAcquire(out frame))
                return false;
            try
            {
                if (_picture == null)
                    _picture = new FrameTexture();
                var resized = _picture.Upload(ref frame, _client.Handle, _uploadPath == AvatarUploadPath.RenderThread);
                _frame = frame;
                return resized;
            }
            finally
            {
                _client.Release(frame.Lease);
            }
        }

        // Ten times a second: percentiles are not free.
        void ReadStatus()
        {
            var now = Stopwatch.GetTimestamp();
            if (_statusAt != 0 && now - _statusAt < StatusInterval)
                return;
            _statusAt = now;
            _client.ReadStatus(ref _status);
            if (State == AvatarState.Live)
                _liveAt = now;
        }

        void TellState()
        {
            var state = State;
            if (state == _told)
                return;
            _told = state;
            if (StateChanged != null)
                StateChanged(state);
        }
    }
}
