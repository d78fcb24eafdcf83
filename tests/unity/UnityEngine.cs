// Small stand-ins for the parts of UnityEngine that the package uses, so that its sources compile and run without an
// editor. Textures keep their bytes in native memory, as Unity's do; what Unity refuses is refused here. Rendering is
// not imitated. Signatures are Unity 2022.3's.

using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Threading;

namespace UnityEngine
{
    [AttributeUsage(AttributeTargets.Field)]
    public sealed class SerializeField : Attribute { }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class TooltipAttribute : Attribute { public TooltipAttribute(string text) { } }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class HeaderAttribute : Attribute { public HeaderAttribute(string text) { } }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class MinAttribute : Attribute { public MinAttribute(float minimum) { } }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class RangeAttribute : Attribute { public RangeAttribute(float minimum, float maximum) { } }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class TextAreaAttribute : Attribute { }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class AddComponentMenu : Attribute { public AddComponentMenu(string menu) { } }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class DisallowMultipleComponent : Attribute { }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class DefaultExecutionOrder : Attribute
    {
        public readonly int order;
        public DefaultExecutionOrder(int order) { this.order = order; }
    }

    [AttributeUsage(AttributeTargets.Class, AllowMultiple = true)]
    public sealed class RequireComponent : Attribute
    {
        public readonly Type[] Required;
        public RequireComponent(Type required) { Required = new[] { required }; }
        public RequireComponent(Type first, Type second, Type third) { Required = new[] { first, second, third }; }
    }

    public enum RuntimeInitializeLoadType
    {
        AfterSceneLoad = 0, BeforeSceneLoad = 1, AfterAssembliesLoaded = 2, BeforeSplashScreen = 3,
        SubsystemRegistration = 4
    }

    [AttributeUsage(AttributeTargets.Method)]
    public sealed class RuntimeInitializeOnLoadMethodAttribute : Attribute
    {
        public readonly RuntimeInitializeLoadType loadType;
        public RuntimeInitializeOnLoadMethodAttribute(RuntimeInitializeLoadType loadType) { this.loadType = loadType; }
    }

    [Flags]
    public enum HideFlags { None = 0, DontSave = 52 }

    public class Object
    {
        bool _destroyed;

        public string name { get; set; }
        public HideFlags hideFlags { get; set; }

        public static void Destroy(Object what)
        {
            if (what == null)
                return;
            what.Free();
            what._destroyed = true;
        }

        public static void DestroyImmediate(Object what) { Destroy(what); }

        // Unity's peculiarity: what was destroyed equals null.
        public static bool operator ==(Object a, Object b)
        {
            var noA = ReferenceEquals(a, null) || a._destroyed;
            var noB = ReferenceEquals(b, null) || b._destroyed;
            return noA || noB ? noA == noB : ReferenceEquals(a, b);
        }

        public static bool operator !=(Object a, Object b) { return !(a == b); }
        public override bool Equals(object other) { return this == other as Object; }
        public override int GetHashCode() { return base.GetHashCode(); }
        internal virtual void Free() { }
    }

    public class Component : Object
    {
        public GameObject gameObject { get; internal set; }
        public Transform transform { get { return gameObject.transform; } }
        public T GetComponent<T>() where T : class { return gameObject.GetComponent<T>(); }
    }

    public class Behaviour : Component
    {
        internal bool On;

        public bool isActiveAndEnabled { get { return On; } }

        public bool enabled
        {
            get { return On; }
            set
            {
                if (On == value)
                    return;
                On = value;
                PlayerLoop.Tell(this, value ? "OnEnable" : "OnDisable");
            }
        }

        internal override void Free()
        {
            enabled = false;
            PlayerLoop.Tell(this, "OnDestroy");
            PlayerLoop.Remove(this);
        }
    }

    public class MonoBehaviour : Behaviour { }

    public sealed class GameObject : Object
    {
        readonly List<Component> _components = new List<Component>();

        public GameObject(string name = "") { this.name = name; transform = AddComponent<Transform>(); }

        public Transform transform { get; private set; }

        public T AddComponent<T>() where T : Component, new()
        {
            foreach (RequireComponent needed in typeof(T).GetCustomAttributes(typeof(RequireComponent), true))
                foreach (var type in needed.Required)
                    if (_components.Find(other => other.GetType() == type) == null)
                        typeof(GameObject).GetMethod("AddComponent").MakeGenericMethod(type).Invoke(this, null);
            var component = new T { gameObject = this };
            _components.Add(component);
            var behaviour = component as MonoBehaviour;
            if (behaviour != null)
            {
                PlayerLoop.Add(behaviour);
                behaviour.enabled = true;
            }
            return component;
        }

        public T GetComponent<T>() where T : class
        {
            foreach (var component in _components)
            {
                var found = component as T;
                if (found != null)
                    return found;
            }
            return null;
        }

        internal override void Free()
        {
            foreach (var component in _components)
                Destroy(component);
        }
    }

    /// <summary>Calls what Unity's player loop calls; the test program ticks it.</summary>
    public static class PlayerLoop
    {
        sealed class Entry
        {
            public MonoBehaviour Who;
            public int Order;
            public Action Start, Update, LateUpdate;
        }

        static readonly List<Entry> Entries = new List<Entry>();

        public static void Tick(float seconds)
        {
            Time.deltaTime = seconds;
            Time.time += seconds;
            for (var i = 0; i < Entries.Count; i++)
                if (Entries[i].Who.enabled && Entries[i].Start != null)
                {
                    Entries[i].Start();
                    Entries[i].Start = null;
                }
            for (var i = 0; i < Entries.Count; i++)
                if (Entries[i].Who.enabled && Entries[i].Update != null)
                    Entries[i].Update();
            for (var i = 0; i < Entries.Count; i++)
                if (Entries[i].Who.enabled && Entries[i].LateUpdate != null)
                    Entries[i].LateUpdate();
        }

        internal static void Add(MonoBehaviour who)
        {
            var order = (DefaultExecutionOrder)Attribute.GetCustomAttribute(
                who.GetType(), typeof(DefaultExecutionOrder));
            Entries.Add(new Entry
            {
                Who = who, Order = order == null ? 0 : order.order, Start = Message(who, "Start"),
                Update = Message(who, "Update"), LateUpdate = Message(who, "LateUpdate")
            });
            Entries.Sort((a, b) => a.Order.CompareTo(b.Order));
        }

        internal static void Remove(Behaviour who) { Entries.RemoveAll(entry => ReferenceEquals(entry.Who, who)); }

        internal static void Tell(Behaviour who, string message)
        {
            var call = Message(who, message);
            if (call != null)
                call();
        }

        static Action Message(object who, string name)
        {
            const BindingFlags any = BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public;
            var method = who.GetType().GetMethod(name, any, null, Type.EmptyTypes, null);
            return method == null ? null : (Action)Delegate.CreateDelegate(typeof(Action), who, method);
        }
    }

    public static class Time
    {
        public static float deltaTime { get; internal set; }
        public static float time { get; internal set; }
    }

    public static class Application
    {
        public static bool isPlaying { get { return true; } }
    }

    /// <summary>The console; keeps what was said.</summary>
    public static class Debug
    {
        public static readonly List<string> Said = new List<string>();

        public static void LogWarning(object message, Object context) { Said.Add(message.ToString()); }
        public static void LogException(Exception error, Object context) { Said.Add(error.ToString()); }
    }

    public static class Mathf
    {
        public const float Rad2Deg = 57.29578f;

        public static float Atan2(float y, float x) { return (float)Math.Atan2(y, x); }
        public static float Sqrt(float value) { return (float)Math.Sqrt(value); }
        public static float Abs(float value) { return Math.Abs(value); }
        public static float Max(float a, float b) { return Math.Max(a, b); }
        public static float Min(float a, float b) { return Math.Min(a, b); }
        public static float Clamp(float value, float from, float to) { return Math.Max(from, Math.Min(to, value)); }
        public static float Clamp01(float value) { return Clamp(value, 0, 1); }
    }

    public struct Vector2
    {
        public float x, y;
        public Vector2(float x, float y) { this.x = x; this.y = y; }
    }

    public struct Vector3
    {
        public float x, y, z;
        public Vector3(float x, float y, float z) { this.x = x; this.y = y; this.z = z; }
        public static Vector3 operator -(Vector3 a, Vector3 b) { return new Vector3(a.x - b.x, a.y - b.y, a.z - b.z); }
    }

    public struct Vector4
    {
        public float x, y, z, w;
        public Vector4(float x, float y, float z, float w) { this.x = x; this.y = y; this.z = z; this.w = w; }
    }

    public struct Quaternion
    {
        public float x, y, z, w;
        public Quaternion(float x, float y, float z, float w) { this.x = x; this.y = y; this.z = z; this.w = w; }

        public static Quaternion identity { get { return new Quaternion(0, 0, 0, 1); } }

        /// <summary>Around the y axis; in Unity's left-handed space 90 degrees take forward (+z) to right (+x).</summary>
        public static Quaternion Euler(float x, float y, float z)
        {
            if (x != 0 || z != 0)
                throw new NotSupportedException("only turns around y are needed here");
            var half = y * Math.PI / 360;
            return new Quaternion(0, (float)Math.Sin(half), 0, (float)Math.Cos(half));
        }

        public static Quaternion Inverse(Quaternion q) { return new Quaternion(-q.x, -q.y, -q.z, q.w); }

        public static Vector3 operator *(Quaternion q, Vector3 v)
        {
            float tx = 2 * (q.y * v.z - q.z * v.y), ty = 2 * (q.z * v.x - q.x * v.z), tz = 2 * (q.x * v.y - q.y * v.x);
            return new Vector3(
                v.x + q.w * tx + q.y * tz - q.z * ty,
                v.y + q.w * ty + q.z * tx - q.x * tz,
                v.z + q.w * tz + q.x * ty - q.y * tx);
        }
    }

    public struct Rect
    {
        public float x, y, width, height;
        public Rect(float x, float y, float width, float height)
        {
            this.x = x; this.y = y; this.width = width; this.height = height;
        }
        public Vector2 center { get { return new Vector2(x + width / 2, y + height / 2); } }
    }

    public struct Color
    {
        public float r, g, b, a;
        public Color(float r, float g, float b, float a) { this.r = r; this.g = g; this.b = b; this.a = a; }
    }

    public sealed class Transform : Component
    {
        public Transform() { rotation = Quaternion.identity; }
        public Vector3 position { get; set; }
        public Quaternion rotation { get; set; }
    }

    public sealed class Camera : Behaviour
    {
        public static Camera main { get; set; }
    }

    public enum TextureFormat { RGBA32 = 4 }
    public enum TextureWrapMode { Repeat = 0, Clamp = 1 }
    public enum FilterMode { Point = 0, Bilinear = 1 }

    public class Texture : Object
    {
        public int width { get; protected set; }
        public int height { get; protected set; }
        public TextureWrapMode wrapMode { get; set; }
        public FilterMode filterMode { get; set; }
    }

    public sealed unsafe class Texture2D : Texture
    {
        public static int Created;
        public readonly bool Linear;
        readonly IntPtr _script; // what LoadRawTextureData fills
        readonly IntPtr _gpu; // what is drawn, filled by Apply and by the render thread
        int _applied;

        public Texture2D(int width, int height, TextureFormat format, bool mipChain, bool linear)
        {
            if (width < 1 || height < 1)
                throw new UnityException("Texture has out of range width / height");
            if (format != TextureFormat.RGBA32 || mipChain)
                throw new NotSupportedException("only RGBA32 without mip maps is needed here");
            this.width = width;
            this.height = height;
            Linear = linear;
            _script = Marshal.AllocHGlobal(Bytes);
            _gpu = Marshal.AllocHGlobal(Bytes);
            Created++;
        }

        public int Bytes { get { return 4 * width * height; } }
        public byte* OnGpu { get { return (byte*)_gpu; } }
        public int Uploads { get { return _applied; } }

        public void LoadRawTextureData(IntPtr data, int size)
        {
            if (size < Bytes)
                throw new UnityException("LoadRawTextureData: not enough data provided (will result in overread).");
            Buffer.MemoryCopy((void*)data, (void*)_script, Bytes, Bytes);
        }

        public void Apply(bool updateMipmaps, bool makeNoLongerReadable)
        {
            UploadToGpu((void*)_script);
        }

        internal void UploadToGpu(void* from)
        {
            Buffer.MemoryCopy(from, (void*)_gpu, Bytes, Bytes);
            _applied++;
        }

        internal override void Free()
        {
            RenderThread.Finish(); // Unity, too, lets go of a texture only after the commands that use it
            Marshal.FreeHGlobal(_script);
            Marshal.FreeHGlobal(_gpu);
        }
    }

    public sealed class UnityException : Exception { public UnityException(string message) : base(message) { } }

    public sealed class Shader
    {
        static readonly List<string> Names = new List<string>();

        public static int PropertyToID(string name)
        {
            if (!Names.Contains(name))
                Names.Add(name);
            return Names.IndexOf(name);
        }
    }

    public sealed class Material : Object
    {
        public readonly Dictionary<int, Color> Colors = new Dictionary<int, Color>();
        public bool HasProperty(int id) { return Colors.ContainsKey(id); }
        public Color GetColor(int id) { return Colors[id]; }
    }

    public sealed class MaterialPropertyBlock
    {
        public readonly Dictionary<int, object> Values = new Dictionary<int, object>();
        public void SetTexture(int id, Texture value) { Values[id] = value; }
        public void SetVector(int id, Vector4 value) { Values[id] = value; }
        public void SetColor(int id, Color value) { Values[id] = value; }
    }

    public class Renderer : Component
    {
        public readonly Dictionary<int, object> Overrides = new Dictionary<int, object>();
        public Material sharedMaterial { get; set; }

        public void GetPropertyBlock(MaterialPropertyBlock block) { Copy(Overrides, block.Values); }
        public void SetPropertyBlock(MaterialPropertyBlock block) { Copy(block.Values, Overrides); }

        static void Copy(Dictionary<int, object> from, Dictionary<int, object> to)
        {
            to.Clear();
            foreach (var pair in from)
                to.Add(pair.Key, pair.Value);
        }
    }

    public sealed class MeshRenderer : Renderer { }

    public sealed class CanvasRenderer : Component
    {
        public float Alpha = 1;
        public void SetAlpha(float alpha) { Alpha = alpha; }
    }
}

namespace UnityEngine.UI
{
    public sealed class RawImage : MonoBehaviour
    {
        public RawImage() { canvasRenderer = new CanvasRenderer(); }
        public Texture texture { get; set; }
        public Rect uvRect { get; set; }
        public CanvasRenderer canvasRenderer { get; private set; }
    }
}

namespace UnityEngine.Rendering
{
    /// <summary>Keeps one plugin texture update, which is all that is recorded here.</summary>
    public sealed class CommandBuffer
    {
        internal IntPtr Callback;
        internal Texture2D Target;
        internal uint UserData;

        public string name { get; set; }

        public void IssuePluginCustomTextureUpdateV2(IntPtr callback, Texture targetTexture, uint userData)
        {
            if (callback == IntPtr.Zero || targetTexture == null)
                throw new ArgumentNullException();
            Callback = callback;
            Target = (Texture2D)targetTexture;
            UserData = userData;
        }

        public void Release() { }
    }
}

namespace UnityEngine
{
    public static class Graphics
    {
        public static void ExecuteCommandBuffer(Rendering.CommandBuffer buffer)
        {
            RenderThread.Run(buffer.Callback, buffer.Target, buffer.UserData);
        }
    }

    /// <summary>
    /// Does what Unity does with a plugin texture update, on a thread of its own, later: asks the plugin for the
    /// texels, uploads them, and tells it that they may go. Twin of UnityRenderingExtTextureUpdateParamsV2.
    /// </summary>
    public static unsafe class RenderThread
    {
        [StructLayout(LayoutKind.Sequential)]
        struct TextureUpdateParamsV2
        {
            public void* TexData;
            public IntPtr TextureId;
            public uint UserData;
            public int Format;
            public uint Width;
            public uint Height;
            public uint Bpp;
        }

        [UnmanagedFunctionPointer(CallingConvention.Winapi)]
        delegate void RenderingEventAndData(int eventId, TextureUpdateParamsV2* data);

        const int UpdateTextureBeginV2 = 9, UpdateTextureEndV2 = 10; // UnityRenderingExtEventType
        const int FormatR8G8B8A8Srgb = 4; // UnityRenderingExtTextureFormat

        static readonly BlockingCollection<Action> Work = new BlockingCollection<Action>();
        static Thread _thread;

        public static int Updated, LeftAlone;

        public static void Run(IntPtr callback, Texture2D target, uint userData)
        {
            if (_thread == null)
            {
                _thread = new Thread(WorkOn) { IsBackground = true };
                _thread.Start();
            }
            Work.Add(() => Update(callback, target, userData));
        }

        /// <summary>Wait until everything asked for so far is done.</summary>
        public static void Finish()
        {
            if (_thread == null)
                return;
            using (var done = new ManualResetEvent(false))
            {
                Work.Add(() => done.Set());
                if (!done.WaitOne(30000))
                    throw new TimeoutException("the render thread hangs");
            }
        }

        static void WorkOn()
        {
            foreach (var work in Work.GetConsumingEnumerable())
                work();
        }

        static void Update(IntPtr callback, Texture2D target, uint userData)
        {
            var call = (RenderingEventAndData)Marshal.GetDelegateForFunctionPointer(
                callback, typeof(RenderingEventAndData));
            var data = new TextureUpdateParamsV2
            {
                TextureId = (IntPtr)1, UserData = userData, Format = FormatR8G8B8A8Srgb,
                Width = (uint)target.width, Height = (uint)target.height, Bpp = 4
            };
            call(UpdateTextureBeginV2, &data);
            if (data.TexData != null)
            {
                target.UploadToGpu(data.TexData);
                Updated++;
            }
            else
            {
                LeftAlone++;
            }
            call(UpdateTextureEndV2, &data);
        }
    }
}
