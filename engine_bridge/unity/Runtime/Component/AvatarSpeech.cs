using System;
using UnityEngine;

namespace Bunraku
{
    /// <summary>
    /// Lets the character say a line: her mouth follows the letters, her mood follows marks such as [happy] in the
    /// text. The rules are those of examples/20_talking_npc/README.md; there is no sound in them.
    /// </summary>
    [AddComponentMenu("Bunraku/Avatar Speech")]
    [DisallowMultipleComponent]
    [RequireComponent(typeof(AvatarControl))]
    public sealed class AvatarSpeech : MonoBehaviour
    {
        readonly float[] _weights = new float[SpeechLine.Visemes.Length];
        AvatarControl _control;
        SpeechLine _line;
        float _timeMs;

        /// <summary>Raised when a line has been said to its end.</summary>
        public event Action Finished;

        public bool IsSpeaking
        {
            get { return _line != null; }
        }

        /// <summary>Begin a line; the one being said is broken off.</summary>
        public void Speak(string text)
        {
            if (text == null)
                throw new ArgumentNullException("text");
            _line = new SpeechLine(text);
            _timeMs = 0;
        }

        /// <summary>Break off: the mouth closes and the expression fades to none.</summary>
        public void Stop()
        {
            if (_line == null)
                return;
            _line = null;
            foreach (var viseme in SpeechLine.Visemes)
                _control.Release(viseme);
            _control.Expression = "";
        }

        void OnEnable()
        {
            _control = GetComponent<AvatarControl>();
        }

        void OnDisable()
        {
            Stop();
        }

        void Update()
        {
            if (_line == null)
                return;
            if (_timeMs >= _line.EndMs)
            {
                Stop();
                if (Finished != null)
                    Finished();
                return;
            }
            _line.Weights(_timeMs, _weights);
            for (var viseme = 0; viseme < _weights.Length; viseme++)
                _control.Set(SpeechLine.Visemes[viseme], _weights[viseme]);
            var expression = _line.Expression(_timeMs);
            if (expression != null)
                _control.Expression = expression;
            _timeMs += Time.deltaTime * 1000;
        }
    }
}
