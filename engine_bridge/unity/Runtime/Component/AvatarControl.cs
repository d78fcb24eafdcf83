using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using Bunraku.Interop;
using UnityEngine;

namespace Bunraku
{
    /// <summary>
    /// Moves the character that an AvatarReceiver shows. What is set here is held until it is released; the rest stays
    /// with the character's own life. Sends at most once per frame, in LateUpdate, and only when something changed;
    /// allocates only when a name is used for the first time.
    /// </summary>
    [AddComponentMenu("Bunraku/Avatar Control")]
    [DisallowMultipleComponent]
    public sealed unsafe class AvatarControl : MonoBehaviour
    {
        const float SmallestTurn = 0.01f; // degrees: less is not worth a message

        [Tooltip("Shows the character. Empty: the receiver of this object.")]
        [SerializeField] AvatarReceiver _receiver = null;

        [Header("Gaze")]
        [Tooltip("The character looks at this. Empty: the gaze is left to its own life.")]
        [SerializeField] Transform _lookAt = null;
        [Tooltip("Where the character's face is. Empty: this object.")]
        [SerializeField] Transform _face = null;
        [Tooltip("The face looks along the forward axis, as a modelled head does. "
            + "Off: against it, as on quads and canvases.")]
        [SerializeField] bool _facesForward = false;
        [Range(0, 90)]
        [SerializeField] float _maximumYaw = 30;
        [Range(0, 90)]
        [SerializeField] float _maximumPitch = 20;
        [Tooltip("How much of the eyes' angle the head turns with them.")]
        [Range(0, 1)]
        [SerializeField] float _headShare = 1f / 3;

        readonly Dictionary<string, int> _slots = new Dictionary<string, int>(StringComparer.Ordinal);
        readonly string[] _names = new string[Native.MaxControls];
        readonly float[] _values = new float[Native.MaxControls];
        readonly bool[] _held = new bool[Native.MaxControls];
        NativeText _text;
        IntPtr _block; // room for MaxControls of Interop.Control
        NativeClient _sentTo;
        bool _changed;
        bool _gazing;
        bool _calibrate;
        string _expression;
        string _identity;
        long _seed = -1;
        string _mixIdentity;
        long _mixSeed = -1;
        float _mixAmount;
        float _truncationPsi = -1;
        OncePerSecond _complaint;

        #region What scripts set

        /// <summary>The receiver whose character is moved.</summary>
        public AvatarReceiver Receiver
        {
            get { return _receiver; }
            set { _receiver = value; }
        }

        /// <summary>What the character looks at, null to leave the gaze to its own life.</summary>
        public Transform LookAt
        {
            get { return _lookAt; }
            set { _lookAt = value; }
        }

        /// <summary>Where the face is; see <see cref="FacesForward"/>. Null: this object.</summary>
        public Transform Face
        {
            get { return _face; }
            set { _face = value; }
        }

        /// <summary>Whether the face looks along its forward axis; on quads and canvases it looks against it.</summary>
        public bool FacesForward
        {
            get { return _facesForward; }
            set { _facesForward = value; }
        }

        /// <summary>How much of the eyes' angle the head turns with them, 0 to 1.</summary>
        public float HeadShare
        {
            get { return _headShare; }
            set { _headShare = value; }
        }

        /// <summary>Named expression to fade to; the empty string fades to none, null leaves it alone.</summary>
        public string Expression
        {
            get { return _expression; }
            set { Change(ref _expression, value); }
        }

        /// <summary>Who is drawn, by name; null leaves it, or goes by <see cref="Seed"/>.</summary>
        public string Identity
        {
            get { return _identity; }
            set { Change(ref _identity, value); }
        }

        /// <summary>Who is drawn, by seed, where the character has a mapping network; below 0: none.</summary>
        public long Seed
        {
            get { return _seed; }
            set { Change(ref _seed, value); }
        }

        /// <summary>How ordinary people drawn from a seed are, 0 to 1; below 0: leave it.</summary>
        public float TruncationPsi
        {
            get { return _truncationPsi; }
            set
            {
                if (IsFinite(value, "truncation psi"))
                    Change(ref _truncationPsi, value);
            }
        }

        /// <summary>
        /// Number of the state sent last, which comes back as <see cref="AvatarReceiver.ControlId"/> of the frames that
        /// show it. 0 before the first.
        /// </summary>
        public ulong LastControlId { get; private set; }

        /// <summary>
        /// Hold a control, for example jawOpen or headYaw: degrees for poses and gaze, otherwise 0 to 1. The producer
        /// clamps values to the character's range; one that is not finite is left out with a warning.
        /// </summary>
        public void Set(string control, float value)
        {
            if (!IsFinite(value, control))
                return;
            int slot;
            if (!_slots.TryGetValue(control, out slot))
            {
                if (_slots.Count == Native.MaxControls)
                {
                    _complaint.Warn(control + " is one control too many; " + Native.MaxControls + " are possible.", this);
                    return;
                }
                slot = _slots.Count;
                _slots.Add(control, slot);
                _names[slot] = control;
            }
            if (_held[slot] && _values[slot] == value)
                return;
            _held[slot] = true;
            _values[slot] = value;
            _changed = true;
        }

        /// <summary>Let go of a control; it glides back to the character's own life.</summary>
        public void Release(string control)
        {
            int slot;
            if (_slots.TryGetValue(control, out slot) && _held[slot])
            {
                _held[slot] = false;
                _changed = true;
            }
        }

        /// <summary>Let go of all controls. Identity, mix and expression stay.</summary>
        public void ReleaseAll()
        {
            for (var slot = 0; slot < _slots.Count; slot++)
                _held[slot] = false;
            _changed = true;
        }

        /// <summary>Mix a second identity in: 0 is all the first, 1 is all this one.</summary>
        public void Mix(string identity, float amount)
        {
            if (!IsFinite(amount, "amount of the mix"))
                return;
            Change(ref _mixIdentity, identity);
            Change(ref _mixSeed, -1);
            Change(ref _mixAmount, amount);
        }

        /// <summary>Mix the identity of a seed in.</summary>
        public void Mix(long seed, float amount)
        {
            if (!IsFinite(amount, "amount of the mix"))
                return;
            Change(ref _mixIdentity, null);
            Change(ref _mixSeed, seed);
            Change(ref _mixAmount, amount);
        }

        /// <summary>Show the first identity alone again.</summary>
        public void StopMixing()
        {
            Change(ref _mixIdentity, null);
            Change(ref _mixSeed, -1);
        }

        /// <summary>Take the present pose of a tracker as the neutral one.</summary>
        public void Calibrate()
        {
            _calibrate = true;
            _changed = true;
        }

        #endregion

        #region What Unity calls

        void OnEnable()
        {
            if (_receiver == null)
                _receiver = GetComponent<AvatarReceiver>();
            _text = new NativeText();
            _block = Marshal.AllocHGlobal(Native.MaxControls * sizeof(Control));
        }

        void LateUpdate()
        {
            // The edge: whatever goes wrong here must not stop the game's own scripts.
            try
            {
                Look();
                var client = _receiver == null ? null : _receiver.Client;
                if (client == null || (!_changed && client == _sentTo))
                    return;
                Send(client, _slots.Count);
                _sentTo = client;
                _changed = false;
                _calibrate = false;
            }
            catch (Exception error)
            {
                _complaint.Report(error, this);
            }
        }

        void OnDisable()
        {
            // The character gets everything back that was held here.
            if (_sentTo != null && _sentTo.IsOpen)
                Send(_sentTo, 0);
            _sentTo = null;
            _changed = true;
            _text.Dispose();
            Marshal.FreeHGlobal(_block);
            _block = IntPtr.Zero;
        }

        #endregion

        void Look()
        {
            if (_lookAt == null)
            {
                if (_gazing)
                {
                    Release("gazeYaw");
                    Release("gazePitch");
                    Release("headYaw");
                    Release("headPitch");
                }
                _gazing = false;
                return;
            }
            _gazing = true;
            float yaw, pitch;
            Gaze.Angles(_face != null ? _face : transform, _lookAt.position, _facesForward, out yaw, out pitch);
            yaw = Mathf.Clamp(yaw, -_maximumYaw, _maximumYaw);
            pitch = Mathf.Clamp(pitch, -_maximumPitch, _maximumPitch);
            Turn("gazeYaw", yaw);
            Turn("gazePitch", pitch);
            Turn("headYaw", yaw * _headShare);
            Turn("headPitch", pitch * _headShare);
        }

        void Turn(string control, float degrees)
        {
            int slot;
            var held = _slots.TryGetValue(control, out slot) && _held[slot];
            if (!held || Mathf.Abs(_values[slot] - degrees) >= SmallestTurn)
                Set(control, degrees);
        }

        void Send(NativeClient client, int slots)
        {
            var controls = (Control*)_block;
            uint count = 0;
            for (var slot = 0; slot < slots; slot++)
                if (_held[slot])
                    controls[count++] = new Control { Name = _text.Of(_names[slot]), Value = _values[slot] };
            var state = new ControlState
            {
                ControlCount = count,
                Controls = controls,
                Identity = _text.OfGiven(_identity),
                Seed = string.IsNullOrEmpty(_identity) ? _seed : -1,
                MixIdentity = _text.OfGiven(_mixIdentity),
                MixSeed = _mixSeed,
                MixAmount = _mixAmount,
                TruncationPsi = _truncationPsi,
                Expression = _text.Of(_expression),
                Calibrate = _calibrate ? 1u : 0u
            };
            ulong id;
            var result = client.Send(ref state, out id);
            if (result >= Result.Ok)
                LastControlId = id;
            else
                _complaint.Warn("the controls were not sent: " + Library.TextOf(result), this);
        }

        void Change(ref string field, string value)
        {
            if (!string.Equals(field, value, StringComparison.Ordinal))
                _changed = true;
            field = value;
        }

        void Change(ref long field, long value)
        {
            if (field != value)
                _changed = true;
            field = value;
        }

        void Change(ref float field, float value)
        {
            if (field != value)
                _changed = true;
            field = value;
        }

        bool IsFinite(float value, string what)
        {
            if (!float.IsNaN(value) && !float.IsInfinity(value))
                return true;
            _complaint.Warn(what + " is " + value + ", no number to move anything by; it was left out.", this);
            return false;
        }
    }
}
