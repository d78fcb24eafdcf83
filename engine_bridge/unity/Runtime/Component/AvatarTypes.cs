using System.Collections.Generic;

namespace Bunraku
{
    /// <summary>How the receiver stands with its producer. Twin of bunraku_state.</summary>
    public enum AvatarState
    {
        /// <summary>Never heard, silent for 5 s, or said bye.</summary>
        Lost = 0,
        /// <summary>A good message came within the last 1.5 s.</summary>
        Live = 1,
        /// <summary>Silent for 1.5 s; the last frame stays.</summary>
        Stale = 2,
        /// <summary>Nothing can be opened, or what arrives cannot be used: <see cref="AvatarReceiver.WhyNot"/>.</summary>
        Error = 3,
        /// <summary>The producer speaks another major version of the protocol.</summary>
        Incompatible = 4
    }

    /// <summary>How pixels travel. Twin of bunraku_encoding.</summary>
    public enum AvatarEncoding
    {
        /// <summary>Shared memory on this host, otherwise raw.</summary>
        Automatic = 0,
        Raw = 1,
        /// <summary>Lossless, about a third.</summary>
        Lz4 = 2,
        /// <summary>Colour as JPEG, alpha lossless: about a thirtieth, for a network.</summary>
        Jpeg = 4,
        /// <summary>Same host and user only: half the latency.</summary>
        SharedMemory = 8
    }

    /// <summary>How a frame reaches the GPU.</summary>
    public enum AvatarUploadPath
    {
        /// <summary>Copy, until RenderThread has been proven in real editors and on every graphics API.</summary>
        Automatic = 0,
        /// <summary>Texture2D.LoadRawTextureData and Apply: one copy on the main thread, works everywhere.</summary>
        Copy = 1,
        /// <summary>CommandBuffer.IssuePluginCustomTextureUpdateV2: no copy on the main thread.</summary>
        RenderThread = 2
    }

    /// <summary>What is shown while the producer is silent.</summary>
    public enum AvatarSilence
    {
        /// <summary>The last frame.</summary>
        Hold = 0,
        /// <summary>The last frame, fading out.</summary>
        Fade = 1
    }

    /// <summary>How old frames are, in milliseconds over the last 1024 of them; NaN before the first.</summary>
    public struct AvatarLatency
    {
        /// <summary>Median age of a frame when the component took it.</summary>
        public double AgeMsP50;
        /// <summary>99th percentile of that age.</summary>
        public double AgeMsP99;
        /// <summary>Median from sending a control to taking the frame that shows it.</summary>
        public double MotionToPhotonMs;
    }

    /// <summary>What became of the frames since the receiver was opened.</summary>
    public struct AvatarCounts
    {
        /// <summary>Frames that arrived and were news.</summary>
        public ulong Received;
        /// <summary>Frames taken by this component.</summary>
        public ulong Shown;
        /// <summary>Frames overtaken by a newer one before they were taken.</summary>
        public ulong Skipped;
        /// <summary>Frames that were no news.</summary>
        public ulong Late;
        /// <summary>Gaps in the numbers: frames that never arrived.</summary>
        public ulong Missed;
        /// <summary>Messages that broke the protocol.</summary>
        public ulong Bad;
        /// <summary>How often the connection was reopened because of them.</summary>
        public ulong Reconnects;
        /// <summary>Control states that the producer refused.</summary>
        public ulong ControlsRefused;
    }

    /// <summary>One control that a character takes.</summary>
    public sealed class AvatarControlSpec
    {
        public readonly string Name;
        public readonly string Group;
        public readonly float Minimum;
        public readonly float Maximum;
        /// <summary>Value when nobody moves the character.</summary>
        public readonly float Rest;

        internal AvatarControlSpec(string name, string group, float minimum, float maximum, float rest)
        {
            Name = name;
            Group = group;
            Minimum = minimum;
            Maximum = maximum;
            Rest = rest;
        }
    }

    /// <summary>What a character is and takes; told by the producer on the control channel.</summary>
    public sealed class AvatarInfo
    {
        public readonly string Character;
        public readonly int Width;
        public readonly int Height;
        /// <summary>Frames per second that the producer aims at.</summary>
        public readonly double Fps;
        /// <summary>Whether identities may also be seeds.</summary>
        public readonly bool HasMapping;
        public readonly IReadOnlyList<AvatarControlSpec> Controls;
        public readonly IReadOnlyList<string> Identities;
        public readonly IReadOnlyList<string> Expressions;

        internal AvatarInfo(
            string character, int width, int height, double fps, bool hasMapping,
            List<AvatarControlSpec> controls, List<string> identities, List<string> expressions)
        {
            Character = character;
            Width = width;
            Height = height;
            Fps = fps;
            HasMapping = hasMapping;
            Controls = controls;
            Identities = identities;
            Expressions = expressions;
        }
    }
}
