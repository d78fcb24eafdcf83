using System;
using System.Diagnostics;

namespace Bunraku
{
    /// <summary>Lets one complaint per second through, so that a broken stream cannot flood the console.</summary>
    struct OncePerSecond
    {
        long _last;

        public void Warn(string what, UnityEngine.Object whose)
        {
            if (IsDue())
                UnityEngine.Debug.LogWarning("Bunraku: " + what, whose);
        }

        public void Report(Exception error, UnityEngine.Object whose)
        {
            if (IsDue())
                UnityEngine.Debug.LogException(error, whose);
        }

        bool IsDue()
        {
            var now = Stopwatch.GetTimestamp();
            if (_last != 0 && now - _last < Stopwatch.Frequency)
                return false;
            _last = now;
            return true;
        }
    }
}
