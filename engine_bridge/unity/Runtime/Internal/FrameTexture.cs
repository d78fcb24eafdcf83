using System;
using Bunraku.Interop;
using Unity.Collections.LowLevel.Unsafe;
using UnityEngine;

namespace Bunraku
{
    /// <summary>Owns the texture that frames are uploaded to; makes a new one only when the size changes.</summary>
    sealed unsafe class FrameTexture
    {
        const int BytesPerPixel = 4;

        /// <summary>Null before the first frame.</summary>
        public Texture2D Texture { get; private set; }

        /// <summary>Show a leased frame; it is not needed any more when this returns. True if the texture is a new one.</summary>
        public bool Upload(ref Frame frame)
        {
            var resized = Fit((int)frame.Width, (int)frame.Height);
            Copy(ref frame);
            return resized;
        }

        public void Destroy()
        {
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
            var rowBytes = (int)frame.Width * BytesPerPixel;
            if (frame.Stride == rowBytes)
                Texture.LoadRawTextureData((IntPtr)frame.Pixels, rowBytes * (int)frame.Height);
            else
                CopyRows(ref frame, rowBytes);
            Texture.Apply(false, false);
        }

        void CopyRows(ref Frame frame, int rowBytes)
        {
            var to = (byte*)NativeArrayUnsafeUtility.GetUnsafePtr(Texture.GetRawTextureData<byte>());
            for (long y = 0; y < frame.Height; y++)
                Buffer.MemoryCopy(frame.Pixels + y * frame.Stride, to + y * rowBytes, rowBytes, rowBytes);
        }
    }
}
