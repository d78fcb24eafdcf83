using Bunraku;
using UnityEngine;

/// <summary>
/// A character on a quad says a line, her mood follows marks in the text, her eyes and head follow the player. Put this
/// on a quad whose material uses the shader Bunraku/Straight Alpha; the other components come with it.
/// </summary>
[RequireComponent(typeof(AvatarReceiver), typeof(AvatarControl), typeof(AvatarSpeech))]
public sealed class TalkingNpc : MonoBehaviour
{
    [Tooltip("Whom she looks at. Empty: the main camera.")]
    [SerializeField] Transform _player = null;
    [TextArea]
    [SerializeField] string _line = "[happy] Hello, traveller! [relaxed] The road to the old mill is quiet today. "
        + "[surprised] Oh! Is that a map?";
    [Tooltip("Seconds from the end of the line to saying it again; below 0: say it once.")]
    [SerializeField] float _pause = 4;

    AvatarReceiver _receiver;
    AvatarSpeech _speech;
    float _silent;
    bool _said;

    /// <summary>What she says; takes effect with the next time she says it.</summary>
    public string Line
    {
        get { return _line; }
        set { _line = value; }
    }

    void Start()
    {
        _receiver = GetComponent<AvatarReceiver>();
        _speech = GetComponent<AvatarSpeech>();
        if (_player == null && Camera.main != null)
            _player = Camera.main.transform;
        GetComponent<AvatarControl>().LookAt = _player;
    }

    void Update()
    {
        if (_speech.IsSpeaking)
        {
            _silent = 0;
            return;
        }
        _silent += Time.deltaTime;
        var due = !_said || (_pause >= 0 && _silent >= _pause);
        if (!due || _receiver.State != AvatarState.Live)
            return;
        _said = true;
        _speech.Speak(_line);
    }
}
