// A game without an editor: runs the package's components on the stand-ins and does what is asked on standard input.
// One line is one request, words parted by tabs; the answer is lines of key=value, ended by a line that is a dot.

using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Threading;
using Bunraku.Interop;
using UnityEngine;

namespace Bunraku.Tests
{
    /// <summary>One character in a scene. Lives in the script domain that made it.</summary>
    public sealed class Scene : MarshalByRefObject
    {
        readonly AvatarReceiver _receiver;
        readonly AvatarControl _control;
        readonly AvatarSpeech _speech;
        readonly MeshRenderer _quad;
        readonly UnityEngine.UI.RawImage _image;
        readonly Transform _player;
        readonly List<string> _events = new List<string>();

        public Scene()
        {
            var npc = new GameObject("npc");
            _quad = npc.AddComponent<MeshRenderer>();
            _quad.sharedMaterial = new Material();
            _quad.sharedMaterial.Colors[Shader.PropertyToID("_Color")] = new Color(1, 1, 1, 1);
            _image = npc.AddComponent<UnityEngine.UI.RawImage>();
            _receiver = npc.AddComponent<AvatarReceiver>();
            _receiver.enabled = false;
            _control = npc.AddComponent<AvatarControl>();
            _speech = npc.AddComponent<AvatarSpeech>();
            _player = new GameObject("player").transform;
            _receiver.StateChanged += state => _events.Add("state:" + state);
            _receiver.SizeChanged += (width, height) => _events.Add("size:" + width + "x" + height);
            _speech.Finished += () => _events.Add("finished");
        }

        public void Configure(string[] settings)
        {
            foreach (var setting in settings)
            {
                var split = setting.IndexOf('=');
                var property = typeof(AvatarReceiver).GetProperty(setting.Substring(0, split));
                var text = setting.Substring(split + 1);
                property.SetValue(_receiver, property.PropertyType.IsEnum
                    ? Enum.Parse(property.PropertyType, text)
                    : Convert.ChangeType(text, property.PropertyType, CultureInfo.InvariantCulture), null);
            }
            _receiver.enabled = true;
        }

        public void Enable(bool on)
        {
            _receiver.enabled = on;
        }

        public void EnableControl(bool on)
        {
            _control.enabled = on;
        }

        public void Destroy()
        {
            UnityEngine.Object.Destroy(_receiver.gameObject);
        }

        public void Tick(int times, int sleepMs)
        {
            for (var i = 0; i < times; i++)
            {
                PlayerLoop.Tick(1f / 60);
                if (sleepMs > 0)
                    Thread.Sleep(sleepMs);
            }
        }

        /// <summary>Tick until a number of frames were shown; false if that takes too long.</summary>
        public bool WaitForFrames(int count, int limitMs)
        {
            var watch = Stopwatch.StartNew();
            var seen = 0;
            ulong last = 0;
            while (seen < count)
            {
                if (watch.ElapsedMilliseconds > limitMs)
                    return false;
                Tick(1, 1);
                if (_receiver.Texture != null && _receiver.FrameId != last)
                    seen++;
                last = _receiver.FrameId;
            }
            return true;
        }

        public string Do(string[] words)
        {
            switch (words[0])
            {
                case "set": _control.Set(words[1], Number(words[2])); break;
                case "release": _control.Release(words[1]); break;
                case "expression": _control.Expression = words[1]; break;
                case "identity": _control.Identity = words[1]; break;
                case "seed": _control.Seed = long.Parse(words[1]); break;
                case "mix": _control.Mix(words[1], Number(words[2])); break;
                case "mix-seed": _control.Mix(long.Parse(words[1]), Number(words[2])); break;
                case "psi": _control.TruncationPsi = Number(words[1]); break;
                case "calibrate": _control.Calibrate(); break;
                case "speak": _speech.Speak(words[1]); break;
                case "face": _control.FacesForward = words[1] == "forward"; break;
                case "turn": _receiver.transform.rotation = Quaternion.Euler(0, Number(words[1]), 0); break;
                case "look":
                    _player.position = new Vector3(Number(words[1]), Number(words[2]), Number(words[3]));
                    _control.LookAt = _player;
                    break;
                case "look-away": _control.LookAt = null; break;
                case "sample":
                    Camera.main = new GameObject("camera").AddComponent<Camera>();
                    Camera.main.transform.position = new Vector3(0.5f, 0, -2);
                    _receiver.gameObject.AddComponent<TalkingNpc>();
                    break;
                default: throw new ArgumentException("unknown request: " + words[0]);
            }
            return "";
        }

        /// <summary>A verb as the conformance kit names it, by the component's own members.</summary>
        public string Obey(string verb, string name, string number)
        {
            switch (verb)
            {
                case "hold": _control.Set(name, Number(number)); break;
                case "release": _control.Release(name); break;
                case "release_all": _control.ReleaseAll(); break;
                case "become": _control.Identity = name; break;
                case "become_seed": _control.Identity = null; _control.Seed = long.Parse(name); break;
                case "leave_identity": _control.Identity = null; _control.Seed = -1; break;
                case "mix": _control.Mix(name, Number(number)); break;
                case "mix_seed": _control.Mix(long.Parse(name), Number(number)); break;
                case "end_mix": _control.StopMixing(); break;
                case "truncate": _control.TruncationPsi = Number(number); break;
                case "leave_truncation": _control.TruncationPsi = -1; break;
                case "express": _control.Expression = name; break;
                case "leave_expression": _control.Expression = null; break;
                case "calibrate": _control.Calibrate(); break;
                default: throw new ArgumentException("unknown verb: " + verb);
            }
            return "";
        }

        static float Number(string text)
        {
            return float.Parse(text, CultureInfo.InvariantCulture);
        }

        public string Report()
        {
            var lines = new StringBuilder();
            Action<string, object> say = (key, value) =>
                lines.Append(key + "=" + Convert.ToString(value, CultureInfo.InvariantCulture) + "\n");
            var counts = _receiver.Counts;
            var latency = _receiver.Latency;
            say("state", _receiver.State);
            say("control_state", _receiver.ControlState);
            say("frame_id", _receiver.FrameId);
            say("session", _receiver.Session);
            say("stream", _receiver.StreamInUse);
            say("provider", _receiver.Provider);
            say("encoding", _receiver.EncodingInUse);
            say("received", counts.Received);
            say("shown", counts.Shown);
            say("skipped", counts.Skipped);
            say("late", counts.Late);
            say("missed", counts.Missed);
            say("bad", counts.Bad);
            say("reconnects", counts.Reconnects);
            say("refused", counts.ControlsRefused);
            say("code", _receiver.LastErrorCode);
            say("error", _receiver.LastError.Replace('\n', ' '));
            say("why", (_receiver.WhyNot ?? "").Replace('\n', ' '));
            SayFrame(say);
            say("age_p50", latency.AgeMsP50);
            say("motion_to_photon", latency.MotionToPhotonMs);
            say("opacity", _receiver.Opacity);
            say("control_id", _control.LastControlId);
            say("speaking", _speech.IsSpeaking);
            say("textures", Texture2D.Created);
            say("clients", NativeClient.OpenCount);
            say("events", string.Join(",", _events.ToArray()));
            say("said", string.Join("|", UnityEngine.Debug.Said.ToArray()).Replace('\n', ' '));
            SayPicture(say);
            return lines.ToString();
        }

        public string Info()
        {
            var info = _receiver.ReadInfo();
            if (info == null)
                return "";
            var lines = new StringBuilder();
            lines.Append("character=" + info.Character + "\nsize=" + info.Width + "x" + info.Height + "\n");
            foreach (var control in info.Controls)
                lines.AppendFormat(CultureInfo.InvariantCulture, "control.{0}={1} {2} {3} {4}\n",
                    control.Name, control.Minimum, control.Maximum, control.Rest, control.Group);
            lines.Append("identities=" + string.Join(",", new List<string>(info.Identities).ToArray()) + "\n");
            lines.Append("expressions=" + string.Join(",", new List<string>(info.Expressions).ToArray()) + "\n");
            return lines.ToString();
        }

        public string Inspect()
        {
            var type = Type.GetType("Bunraku.Editor.AvatarReceiverEditor, Bunraku.Editor", true);
            var inspector = (UnityEditor.Editor)Activator.CreateInstance(type, true);
            inspector.target = _receiver;
            type.GetMethod("OnEnable", BindingFlags.Instance | BindingFlags.NonPublic).Invoke(inspector, null);
            UnityEditor.EditorGUILayout.Drawn.Clear();
            inspector.OnInspectorGUI();
            if (inspector.HasPreviewGUI())
                inspector.OnPreviewGUI(new Rect(0, 0, 200, 100), new GUIStyle());
            var lines = new StringBuilder();
            foreach (var line in UnityEditor.EditorGUILayout.Drawn)
                lines.Append("drawn=" + line + "\n");
            var place = GUI.LastPlace;
            lines.AppendFormat(
                CultureInfo.InvariantCulture, "preview={0} {1} {2} {3}\n", place.x, place.y, place.width, place.height);
            lines.Append("size=" + inspector.GetInfoString() + "\n");
            return lines.ToString();
        }

        /// <summary>Tick with frames flowing, the eyes following somebody who moves; count what is allocated.</summary>
        public string Flow(int ticks)
        {
            var words = new[] { "look", "0", "0", "-2" };
            Do(words);
            Tick(100, 1);
            GC.Collect();
            var shown = _receiver.Counts.Shown;
            var sent = _control.LastControlId;
            var collections = GC.CollectionCount(0);
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < ticks; i++)
            {
                _player.position = new Vector3(i % 100 * 0.02f - 1, 0, -2);
                PlayerLoop.Tick(1f / 60);
                if (i % 4 == 0)
                    Thread.Sleep(1);
            }
            allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
            collections = GC.CollectionCount(0) - collections;
            Thread.Sleep(150);
            Tick(1, 0);
            return "collections=" + collections + "\nallocated=" + allocated
                + "\nshown=" + (_receiver.Counts.Shown - shown) + "\nsent=" + (_control.LastControlId - sent) + "\n";
        }

        public void RaiseReload()
        {
            UnityEditor.AssemblyReloadEvents.RaiseBeforeAssemblyReload();
        }

        public void RaiseQuitting()
        {
            UnityEditor.EditorApplication.RaiseQuitting();
        }

        unsafe void SayFrame(Action<string, object> say)
        {
            var frame = _receiver.ShownFrame;
            say("frame.id", frame.FrameId);
            say("frame.ses", frame.Session);
            say("frame.w", frame.Width);
            say("frame.h", frame.Height);
            say("frame.encoding", (AvatarEncoding)frame.Encoding);
            say("frame.tc", frame.CaptureNs);
            say("frame.tr", frame.RenderStartNs);
            say("frame.tp", frame.PublishNs);
            say("frame.ca", frame.ControlId);
            say("frame.ct", frame.ControlTimestampNs);
            say("frame.stream", NativeText.Read(frame.Stream, Native.NameBytes));
            say("frame.eng", NativeText.Read(frame.Provider, Native.NameBytes));
        }

        unsafe byte[] Picture()
        {
            RenderThread.Finish();
            var bytes = new byte[_receiver.Texture.Bytes];
            Marshal.Copy((IntPtr)_receiver.Texture.OnGpu, bytes, 0, bytes.Length);
            return bytes;
        }

        public void SavePicture(string path)
        {
            File.WriteAllBytes(path, Picture());
        }

        void SayPicture(Action<string, object> say)
        {
            object color;
            var tinted = _quad.Overrides.TryGetValue(Shader.PropertyToID("_Color"), out color);
            say("quad_alpha", tinted ? ((Color)color).a : 1);
            say("canvas_alpha", _image.canvasRenderer.Alpha);
            var texture = _receiver.Texture;
            if (texture == null)
                return;
            using (var digest = SHA256.Create())
                say("sha256", BitConverter.ToString(digest.ComputeHash(Picture())).Replace("-", "").ToLowerInvariant());
            say("size", texture.width + "x" + texture.height);
            say("linear", texture.Linear);
            say("uploads", texture.Uploads);
            say("render_updates", RenderThread.Updated);
            object shown;
            _quad.Overrides.TryGetValue(Shader.PropertyToID("_MainTex"), out shown);
            say("on_quad", ReferenceEquals(shown, texture));
            object tiling;
            if (_quad.Overrides.TryGetValue(Shader.PropertyToID("_MainTex_ST"), out tiling))
            {
                var st = (Vector4)tiling;
                say("tiling", st.x + " " + st.y + " " + st.z + " " + st.w);
            }
            say("on_canvas", ReferenceEquals(_image.texture, texture));
            var uv = _image.uvRect;
            say("uv", uv.x + " " + uv.y + " " + uv.width + " " + uv.height);
        }
    }

    public static class Program
    {
        static Scene _scene;

        public static int Main()
        {
            Console.OutputEncoding = new UTF8Encoding(false);
            Prepare();
            string line;
            while ((line = Console.In.ReadLine()) != null && line != "quit")
            {
                string answer;
                try
                {
                    answer = Answer(line.Split('\t'));
                }
                catch (Exception error)
                {
                    answer = "exception=" + error.ToString().Replace('\n', ' ') + "\n";
                }
                Console.Out.Write(answer + ".\n");
                Console.Out.Flush();
            }
            return 0;
        }

        /// <summary>Call what Unity calls when it has loaded scripts and when it enters play mode.</summary>
        static void Prepare()
        {
            const BindingFlags any = BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public;
            foreach (var type in typeof(AvatarReceiver).Assembly.GetTypes())
                foreach (var method in type.GetMethods(any))
                    if (method.IsDefined(typeof(UnityEditor.InitializeOnLoadMethodAttribute), false)
                        || method.IsDefined(typeof(RuntimeInitializeOnLoadMethodAttribute), false))
                        method.Invoke(null, null);
        }

        static string Answer(string[] words)
        {
            var rest = new string[words.Length - 1];
            Array.Copy(words, 1, rest, 0, rest.Length);
            switch (words[0])
            {
                case "library": return "why=" + (Library.WhyNot() ?? "") + "\nversion=" + Library.Describe() + "\n";
                case "layout": return Layout();
                case "edit-mode-tests": return NUnit.Framework.Runner.Run(typeof(Program).Assembly);
                case "open": _scene = new Scene(); _scene.Configure(rest); return "";
                case "configure": _scene.Configure(rest); return "";
                case "tick": _scene.Tick(int.Parse(rest[0]), int.Parse(rest[1])); return "";
                case "enable": _scene.Enable(true); return "";
                case "disable": _scene.Enable(false); return "";
                case "control-on": _scene.EnableControl(true); return "";
                case "control-off": _scene.EnableControl(false); return "";
                case "destroy": _scene.Destroy(); return "";
                case "report": return _scene.Report();
                case "save": _scene.SavePicture(rest[0]); return "";
                case "info": return _scene.Info();
                case "inspect": return _scene.Inspect();
                case "flow": return _scene.Flow(int.Parse(rest[0]));
                case "reload": _scene.RaiseReload(); return "";
                case "quitting": _scene.RaiseQuitting(); return "";
                case "play": Prepare(); return "";
                case "domains": return Domains(rest);
                case "obey": return _scene.Obey(rest[0], rest[1], rest[2]);
                case "speech": return Speech(rest[0], rest[1].Split(','));
                default: return _scene.Do(words);
            }
        }

        /// <summary>Make a script domain, stream in it, unload it, as the editor does when a script changed.</summary>
        static string Domains(string[] words)
        {
            var count = int.Parse(words[0]);
            var settings = new string[words.Length - 2];
            Array.Copy(words, 2, settings, 0, settings.Length);
            var longest = 0L;
            for (var i = 0; i < count; i++)
            {
                var domain = AppDomain.CreateDomain("scripts " + i);
                var scene = (Scene)domain.CreateInstanceAndUnwrap(
                    typeof(Scene).Assembly.FullName, typeof(Scene).FullName);
                domain.DoCallBack(Prepare);
                scene.Configure(settings);
                if (!scene.WaitForFrames(2, 30000))
                    return "failed=no frames in domain " + i + "\n";
                if (words[1] == "disable")
                    scene.Enable(false);
                else if (words[1] == "reload")
                    scene.RaiseReload();
                var watch = Stopwatch.StartNew();
                var unloading = new Thread(() => AppDomain.Unload(domain)) { IsBackground = true };
                unloading.Start();
                if (!unloading.Join(30000))
                    return "failed=domain " + i + " hangs\n";
                longest = Math.Max(longest, watch.ElapsedMilliseconds);
            }
            return "longest_ms=" + longest + "\nthreads=" + Directory.GetDirectories("/proc/self/task").Length + "\n";
        }

        static string Speech(string text, string[] timesMs)
        {
            var line = new SpeechLine(text.Replace("\\t", "\t").Replace("\\n", "\n")); // as in speech.txt
            var weights = new float[SpeechLine.Visemes.Length];
            var lines = new StringBuilder();
            foreach (var timeMs in timesMs)
            {
                var time = int.Parse(timeMs);
                line.Weights(time, weights);
                lines.Append("at=" + time);
                foreach (var weight in weights)
                    lines.Append(' ' + weight.ToString("0.0000", CultureInfo.InvariantCulture));
                var expression = line.Expression(time);
                lines.Append(' ' + (expression == null ? "-" : expression == "" ? "~" : expression) + "\n");
            }
            return lines.ToString();
        }

        static string Layout()
        {
            var lines = new StringBuilder();
            var twins = new[]
            {
                typeof(Options), typeof(Frame), typeof(Status), typeof(Info), typeof(ControlSpec), typeof(Control),
                typeof(ControlState)
            };
            foreach (var type in twins)
            {
                var name = "bunraku_" + Snake(type.Name);
                lines.Append(name + "=" + Marshal.SizeOf(type) + "\n");
                foreach (var field in type.GetFields())
                    lines.Append(name + "." + Snake(field.Name) + "=" + Marshal.OffsetOf(type, field.Name) + ","
                        + (field.FieldType.IsPointer ? IntPtr.Size : Marshal.SizeOf(field.FieldType)) + "\n");
            }
            return lines.ToString();
        }

        static string Snake(string name)
        {
            var snake = new StringBuilder();
            foreach (var letter in name)
            {
                if (char.IsUpper(letter) && snake.Length > 0)
                    snake.Append('_');
                snake.Append(char.ToLowerInvariant(letter));
            }
            return snake.ToString();
        }
    }
}
