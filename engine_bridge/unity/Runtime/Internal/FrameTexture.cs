using System;
using Bunraku.Interop;
using UnityEngine;
using UnityEngine.Rendering;

namespace Bunraku
{
    /// <summary>Owns the texture that frames are uploaded to; makes a new one only when the size changes.</summary>
    sealed unsafe class FrameTexture
    {
        const int BytesPerPixel = 4;

        CommandBuffer _update;
        ClientHandle _updatesFrom;

        /// <summary>Null before the first frame.</summary>
        public Texture2D Texture { get; private set; }

        /// <summary>Show a frame that was leased from the client; it may be released when this returns. True if the
        /// texture is a new one.</summary>
        public bool Upload(ref Frame frame, ClientHandle client, bool onRenderThread)
        {
            var resized = Fit((int)frame.Width, (int)frame.Height);
            // A new texture is filled here, so that nobody sees what lay in its memory.
            if (onRenderThread && !resized)
                UpdateOnRenderThread(client);
            else
                Copy(ref frame);
            return resized;
        }

        public void Destroy()
        {
            Forget();
            if (Texture != null)
                UnityEngine.Object.Destroy(Texture);
            Texture = null;
        }

        bool Fit(int width, int height)
        {
            if (Texture != null && Texture.width == width && Texture.height == height)
                return false;
            Destroy();
            // sRGB bytes in an sRGB texture are right in Gamma and in Linear projects alike.
            Texture = new Texture2D(width, height, TextureFormat.RGBA32, false, false)
            {
                name = "Bunraku " + width + "x" + height,
                hideFlags = HideFlags.DontSave,
                wrapMode = TextureWrapMode.Clamp,
                filterMode = FilterMode.Bilinear
            };
            return true;
        }

        void Copy(ref Frame frame)
        {
            var bytes = Texture.width * Texture.height * BytesPerPixel;
            if (frame.ByteCount != (ulong)bytes)
                throw new InvalidOperationException("a frame of " + frame.Width + "x" + frame.Height + " pixels and "
                    + frame.ByteCount + " bytes: rows with gaps cannot be shown");
            Texture.LoadRawTextureData((IntPtr)frame.Pixels, bytes);
            Texture.Apply(false, false);
        }

        // The render thread takes the frame that is newest when it comes to this command, which may be a newer one yet;
        // if that has another size, it leaves the texture alone and the next Upload makes a new one.
        void UpdateOnRenderThread(ClientHandle client)
        {
            if (_update == null || _updatesFrom != client)
            {
                Forget();
                _update = new CommandBuffer { name = "Bunraku" };
                _update.IssuePluginCustomTextureUpdateV2(
                    Native.UnityTextureCallback(), Texture, client.RegisterForUnity());
                _updatesFrom = client;
            }
            Graphics.ExecuteCommandBuffer(_update);
        }

        void Forget()
        {
            if (_update != null)
                _update.Release();
            _update = null;
            _updatesFrom = null;
        }
    }
}
