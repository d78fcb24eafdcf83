using System;
using Bunraku.Interop;

namespace Bunraku
{
    /// <summary>
    /// What is wanted of a character, kept by the native side: the verbs of docs/protocol.md. Outlives clients. A
    /// result below Ok says why a verb was refused; nothing has changed then. Without the native library verbs do
    /// nothing, since nothing can be shown either. Allocates when a name is used for the first time. For one thread.
    /// </summary>
    sealed unsafe class NativeWanted : IDisposable
    {
        NativeText _text;
        WantedHandle _handle;
        bool _isOver; // there is no library, or this was disposed

        bool IsThere
        {
            get
            {
                if (_handle == null && !_isOver)
                {
                    _isOver = Library.WhyNot() != null;
                    if (!_isOver)
                    {
                        _handle = new WantedHandle(Native.WantedNew());
                        _text = new NativeText();
                    }
                }
                return _handle != null;
            }
        }

        public Result Hold(string control, float value)
        {
            return IsThere ? (Result)Native.WantedHold(_handle, _text.Of(control), value) : Result.Ok;
        }

        public Result Release(string control)
        {
            return IsThere ? (Result)Native.WantedRelease(_handle, _text.Of(control)) : Result.Ok;
        }

        public Result ReleaseAll()
        {
            return IsThere ? (Result)Native.WantedReleaseAll(_handle) : Result.Ok;
        }

        public Result Become(string identity)
        {
            return IsThere ? (Result)Native.WantedBecome(_handle, _text.Of(identity)) : Result.Ok;
        }

        public Result BecomeSeed(long seed)
        {
            return IsThere ? (Result)Native.WantedBecomeSeed(_handle, seed) : Result.Ok;
        }

        public Result LeaveIdentity()
        {
            return IsThere ? (Result)Native.WantedLeaveIdentity(_handle) : Result.Ok;
        }

        public Result Mix(string identity, float amount)
        {
            return IsThere ? (Result)Native.WantedMix(_handle, _text.Of(identity), amount) : Result.Ok;
        }

        public Result MixSeed(long seed, float amount)
        {
            return IsThere ? (Result)Native.WantedMixSeed(_handle, seed, amount) : Result.Ok;
        }

        public Result EndMix()
        {
            return IsThere ? (Result)Native.WantedEndMix(_handle) : Result.Ok;
        }

        public Result Truncate(float psi)
        {
            return IsThere ? (Result)Native.WantedTruncate(_handle, psi) : Result.Ok;
        }

        public Result LeaveTruncation()
        {
            return IsThere ? (Result)Native.WantedLeaveTruncation(_handle) : Result.Ok;
        }

        public Result Express(string expression)
        {
            return IsThere ? (Result)Native.WantedExpress(_handle, _text.Of(expression)) : Result.Ok;
        }

        public Result LeaveExpression()
        {
            return IsThere ? (Result)Native.WantedLeaveExpression(_handle) : Result.Ok;
        }

        public Result Calibrate()
        {
            return IsThere ? (Result)Native.WantedCalibrate(_handle) : Result.Ok;
        }

        /// <summary>Let the next SendTo send everything, if a verb ever changed anything.</summary>
        public void Repeat()
        {
            if (IsThere)
                Native.WantedRepeat(_handle);
        }

        /// <summary>
        /// Send what is wanted if it changed, or if this client was not sent it before.
        /// </summary>
        /// <param name="controlId">Number of the state that was sent, 0 if nothing was.</param>
        public Result SendTo(NativeClient client, out ulong controlId)
        {
            ulong id = 0;
            var result = IsThere ? (Result)Native.SendWanted(client.Handle, _handle, &id) : Result.Ok;
            controlId = id;
            return result;
        }

        public void Dispose()
        {
            _isOver = true;
            if (_handle == null)
                return;
            _handle.Dispose();
            _handle = null;
            _text.Dispose();
        }
    }
}
