using Bunraku.Interop;
using UnityEditor;
using UnityEngine;

namespace Bunraku.Editor
{
    /// <summary>Inspector of the receiver: its settings, how it stands, why nothing is seen, and the picture.</summary>
    [CustomEditor(typeof(AvatarReceiver))]
    sealed class AvatarReceiverEditor : UnityEditor.Editor
    {
        string _library;
        string _libraryMissing;

        AvatarReceiver Receiver
        {
            get { return (AvatarReceiver)target; }
        }

        void OnEnable()
        {
            _library = Library.Describe();
            _libraryMissing = Library.WhyNot();
        }

        public override void OnInspectorGUI()
        {
            DrawDefaultInspector();
            EditorGUILayout.Space();
            var why = _libraryMissing ?? Receiver.WhyNot ?? Hint();
            if (why != null)
                EditorGUILayout.HelpBox(why, MessageType.Warning);
            if (Application.isPlaying)
                DrawState();
            else
                EditorGUILayout.LabelField("Native library", _library);
        }

        public override bool RequiresConstantRepaint()
        {
            return Application.isPlaying;
        }

        public override bool HasPreviewGUI()
        {
            return Receiver.Texture != null;
        }

        public override void OnPreviewGUI(Rect area, GUIStyle background)
        {
            var texture = Receiver.Texture;
            if (texture == null || Event.current.type != EventType.Repaint)
                return;
            var scale = Mathf.Min(area.width / texture.width, area.height / texture.height);
            var size = new Vector2(texture.width * scale, texture.height * scale);
            var place = new Rect(area.center.x - size.x / 2, area.center.y - size.y / 2, size.x, size.y);
            var part = Receiver.Upright ? new Rect(0, 0, 1, 1) : new Rect(0, 1, 1, -1);
            GUI.DrawTextureWithTexCoords(place, texture, part, true);
        }

        public override string GetInfoString()
        {
            var texture = Receiver.Texture;
            return texture == null ? "" : texture.width + "x" + texture.height;
        }

        void DrawState()
        {
            var latency = Receiver.Latency;
            var counts = Receiver.Counts;
            EditorGUILayout.LabelField("State", Receiver.State + ", controls " + Receiver.ControlState);
            EditorGUILayout.LabelField("Stream", Receiver.StreamInUse + " (" + Receiver.EncodingInUse + ")");
            EditorGUILayout.LabelField("Drawn by", Receiver.Provider + (Receiver.MadeByAi ? ", a neural network" : ""));
            EditorGUILayout.LabelField(
                "Age", Milliseconds(latency.AgeMsP50) + " p50, " + Milliseconds(latency.AgeMsP99) + " p99");
            EditorGUILayout.LabelField("Motion to photon", Milliseconds(latency.MotionToPhotonMs) + " p50");
            EditorGUILayout.LabelField("Frames", counts.Shown + " shown, " + counts.Skipped + " overtaken, "
                + counts.Missed + " missed, " + counts.Bad + " bad");
        }

        string Hint()
        {
            if (!Application.isPlaying || Receiver.State != AvatarState.Lost || !Receiver.isActiveAndEnabled)
                return null;
            return Receiver.Endpoint.Length == 0
                ? "No stream was found on this host. Start one: bunraku live"
                : "Nobody is heard at " + Receiver.Endpoint + ". Start a stream there: bunraku live";
        }

        static string Milliseconds(double value)
        {
            return double.IsNaN(value) ? "-" : value.ToString("0.0") + " ms";
        }
    }
}
