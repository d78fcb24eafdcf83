using System;
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
    public sealed class AvatarControl : MonoBehaviour
    {
        const int TurnDecimals = 2; // of degrees: less is not worth a message

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

        readonly NativeWanted _wanted = new NativeWanted();
        bool _sent; // something since it was enabled
        bool _gazing;
        string _expression;
        string _identity;
        long _seed = -1;
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
            set
            {
                if (Obeyed(value == null ? _wanted.LeaveExpression() : _wanted.Express(value), value))
                    _expression = value;
            }
        }

        /// <summary>Who is drawn, by name; null leaves it, or goes by <see cref="Seed"/>.</summary>
        public string Identity
        {
            get { return _identity; }
            set
            {
                if (Become(value, _seed))
                    _identity = value;
            }
        }

        /// <summary>Who is drawn, by seed, where the character has a mapping network; below 0: none.</summary>
        public long Seed
        {
            get { return _seed; }
            set
            {
                if (Become(_identity, value))
                    _seed = value;
            }
        }

        /// <summary>How ordinary people drawn from a seed are, 0 to 1; below 0: leave it. Above 1: left out.</summary>
        public float TruncationPsi
        {
            get { return _truncationPsi; }
            set
            {
                if (Obeyed(value < 0 ? _wanted.LeaveTruncation() : _wanted.Truncate(value), "truncation psi", value))
                    _truncationPsi = value;
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
            Obeyed(_wanted.Hold(control, value), control, value);
        }

        /// <summary>Let go of a control; it glides back to the character's own life.</summary>
        public void Release(string control)
        {
            Obeyed(_wanted.Release(control), control);
        }

        /// <summary>Let go of all controls. Identity, mix and expression stay.</summary>
        public void ReleaseAll()
        {
            _wanted.ReleaseAll();
        }

        /// <summary>
        /// Mix a second identity in: 0 is all the first, 1 is all this one; other amounts are left out with a warning.
        /// </summary>
        public void Mix(string identity, float amount)
        {
            Obeyed(_wanted.Mix(identity, amount), "amount of the mix", amount);
        }

        /// <summary>Mix the identity of a seed in.</summary>
        public void Mix(long seed, float amount)
        {
            Obeyed(_wanted.MixSeed(seed, amount), "amount of the mix", amount);
        }

        /// <summary>Show the first identity alone again.</summary>
        public void StopMixing()
        {
            _wanted.EndMix();
        }

        /// <summary>Take the present pose of a tracker as the neutral one.</summary>
        public void Calibrate()
        {
            _wanted.Calibrate();
        }

        #endregion

        #region What Unity calls

        void OnEnable()
        {
            if (_receiver == null)
                _receiver = GetComponent<AvatarReceiver>();
        }

        void LateUpdate()
        {
            // The edge: whatever goes wrong here must not stop the game's own scripts.
            try
            {
                Look();
                if (Client != null)
                    Send();
            }
            catch (Exception error)
            {
                _complaint.Report(error, this);
            }
        }

        void OnDisable()
        {
            // The character gets everything back that was held here. What is wanted is kept, and sent when enabled again.
            if (_sent && Client != null)
            {
                ulong id;
                var nothing = new ControlState { Seed = -1, MixSeed = -1, TruncationPsi = -1 };
                if (Client.Send(ref nothing, out id) >= Result.Ok)
                    LastControlId = id;
            }
            _sent = false;
            _wanted.Repeat();
        }

        void OnDestroy()
        {
            _wanted.Dispose();
        }

        #endregion

        NativeClient Client
        {
            get { return _receiver == null ? null : _receiver.Client; }
        }

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
            Set(control, (float)Math.Round(degrees, TurnDecimals));
        }

        void Send()
        {
            ulong id;
            var result = _wanted.SendTo(Client, out id);
            if (result < Result.Ok)
                _complaint.Warn("the controls were not sent: " + Library.TextOf(result), this);
            if (id == 0)
                return;
            LastControlId = id;
            _sent = true;
        }

        /// <summary>A name goes before a seed; with neither the identity is left alone.</summary>
        bool Become(string identity, long seed)
        {
            if (!string.IsNullOrEmpty(identity))
                return Obeyed(_wanted.Become(identity), identity);
            return Obeyed(seed >= 0 ? _wanted.BecomeSeed(seed) : _wanted.LeaveIdentity(), "seed");
        }

        bool Obeyed(Result result, string what)
        {
            if (result < Result.Ok)
                _complaint.Warn(what + " was left out: " + Library.TextOf(result), this);
            return result >= Result.Ok;
        }

        bool Obeyed(Result result, string what, float value)
        {
            if (result < Result.Ok)
                _complaint.Warn(what + " is " + value + " and was left out: " + Library.TextOf(result), this);
            return result >= Result.Ok;
        }
    }
}
