using System.Collections.Generic;
using System.Text;

namespace Bunraku
{
    /// <summary>
    /// What mouth and mood do while a line is spoken, by the rules of examples/20_talking_npc/README.md. Knows text and
    /// milliseconds, no component.
    /// </summary>
    sealed class SpeechLine
    {
        /// <summary>Names of the visemes, in the order of the weights.</summary>
        public static readonly string[] Visemes = { "aa", "ih", "ou", "ee", "oh" };

        const int Aa = 0, Ih = 1, Ou = 2, Ee = 3, Oh = 4, Closed = -1;
        const float HalfWindowMs = 40;
        const float ConsonantWeight = 0.4f;

        struct Mouth
        {
            public int StartMs;
            public int EndMs;
            public int Viseme;
            public float Weight;
        }

        struct Mark
        {
            public int StartMs;
            public string Expression;
        }

        readonly List<Mouth> _mouths = new List<Mouth>();
        readonly List<Mark> _marks = new List<Mark>();
        int _lengthMs;
        int _vowel = Closed;

        public SpeechLine(string text)
        {
            var bytes = Encoding.UTF8.GetBytes(text);
            var at = 0;
            while (at < bytes.Length)
            {
                var close = bytes[at] == '[' ? System.Array.IndexOf(bytes, (byte)']', at) : -1;
                if (close < 0)
                {
                    Read((char)bytes[at++]);
                    continue;
                }
                var name = Encoding.UTF8.GetString(bytes, at + 1, close - at - 1);
                _marks.Add(new Mark { StartMs = _lengthMs, Expression = name });
                at = close + 1;
            }
        }

        /// <summary>When the mouth has come to rest.</summary>
        public float EndMs
        {
            get { return _lengthMs + HalfWindowMs; }
        }

        /// <summary>Weights of the visemes at a moment, into an array of five. Allocates nothing.</summary>
        public void Weights(float timeMs, float[] weights)
        {
            for (var viseme = 0; viseme < Visemes.Length; viseme++)
                weights[viseme] = 0;
            var from = timeMs - HalfWindowMs;
            var until = timeMs + HalfWindowMs;
            for (var i = FirstEndingAfter(from); i < _mouths.Count && _mouths[i].StartMs < until; i++)
            {
                var mouth = _mouths[i];
                var overlap = System.Math.Min(mouth.EndMs, until) - System.Math.Max(mouth.StartMs, from);
                weights[mouth.Viseme] += mouth.Weight * overlap / (2 * HalfWindowMs);
            }
        }

        /// <summary>Expression at a moment: null leaves it alone, the empty string fades to none.</summary>
        public string Expression(float timeMs)
        {
            if (timeMs >= EndMs)
                return "";
            string expression = null;
            for (var i = 0; i < _marks.Count && _marks[i].StartMs <= timeMs; i++)
                expression = _marks[i].Expression;
            return expression;
        }

        void Read(char letter)
        {
            if (letter >= 'A' && letter <= 'Z')
                letter = (char)(letter - 'A' + 'a');
            switch (letter)
            {
                case 'a': Vowel(Aa); break;
                case 'e': Vowel(Ee); break;
                case 'i': Vowel(Ih); break;
                case 'o': Vowel(Oh); break;
                case 'u': Vowel(Ou); break;
                case 'y': Vowel(Ih); break;
                case 'm': case 'b': case 'p': Add(70, Closed, 0); break;
                case ' ': case '\t': case '\n': Add(40, Closed, 0); break;
                case ',': case ';': case ':': Add(220, Closed, 0); break;
                case '.': case '!': case '?': Add(380, Closed, 0); break;
                default:
                    if (letter >= 'a' && letter <= 'z')
                        Add(60, _vowel, ConsonantWeight);
                    break;
            }
        }

        void Vowel(int viseme)
        {
            _vowel = viseme;
            Add(90, viseme, 1);
        }

        void Add(int lastsMs, int viseme, float weight)
        {
            var startMs = _lengthMs;
            _lengthMs += lastsMs;
            if (viseme != Closed)
                _mouths.Add(new Mouth { StartMs = startMs, EndMs = _lengthMs, Viseme = viseme, Weight = weight });
        }

        int FirstEndingAfter(float timeMs)
        {
            int low = 0, high = _mouths.Count;
            while (low < high)
            {
                var middle = (low + high) / 2;
                if (_mouths[middle].EndMs <= timeMs)
                    low = middle + 1;
                else
                    high = middle;
            }
            return low;
        }
    }
}
