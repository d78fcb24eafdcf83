// Small stand-ins for the parts of UnityEditor that the package uses. Signatures are Unity 2022.3's.

using System;
using System.Collections.Generic;
using UnityEngine;

namespace UnityEditor
{
    [AttributeUsage(AttributeTargets.Class)]
    public sealed class CustomEditor : Attribute { public CustomEditor(Type inspected) { } }

    [AttributeUsage(AttributeTargets.Method)]
    public sealed class InitializeOnLoadMethodAttribute : Attribute { }

    public enum MessageType { None, Info, Warning, Error }

    public class Editor : UnityEngine.Object
    {
        public UnityEngine.Object target { get; set; }
        public bool DrawDefaultInspector() { return false; }
        public virtual void OnInspectorGUI() { }
        public virtual bool RequiresConstantRepaint() { return false; }
        public virtual bool HasPreviewGUI() { return false; }
        public virtual void OnPreviewGUI(Rect r, GUIStyle background) { }
        public virtual string GetInfoString() { return ""; }
    }

    /// <summary>Keeps what an inspector drew.</summary>
    public static class EditorGUILayout
    {
        public static readonly List<string> Drawn = new List<string>();

        public static void Space() { }
        public static void LabelField(string label, string value) { Drawn.Add(label + ": " + value); }
        public static void HelpBox(string message, MessageType type) { Drawn.Add(type + ": " + message); }
    }

    public static class AssemblyReloadEvents
    {
        public delegate void AssemblyReloadCallback();

        public static event AssemblyReloadCallback beforeAssemblyReload;

        public static void RaiseBeforeAssemblyReload()
        {
            if (beforeAssemblyReload != null)
                beforeAssemblyReload();
        }
    }

    public static class EditorApplication
    {
        public static event Action quitting;

        public static void RaiseQuitting()
        {
            if (quitting != null)
                quitting();
        }
    }
}

namespace UnityEngine
{
    public enum EventType { MouseDown = 0, Repaint = 7 }

    public sealed class Event
    {
        public static readonly Event current = new Event();
        public EventType type { get { return EventType.Repaint; } }
    }

    public sealed class GUIStyle { }

    public static class GUI
    {
        public static Rect LastPlace, LastPart;

        public static void DrawTextureWithTexCoords(Rect place, Texture texture, Rect part, bool alphaBlend)
        {
            LastPlace = place;
            LastPart = part;
        }
    }
}
