using UnityEngine;
using UnityEngine.UI;

namespace Bunraku
{
    /// <summary>
    /// Puts a texture on a renderer and on a canvas, the right way up. Touches them only when something changed.
    /// </summary>
    sealed class Surface
    {
        readonly Renderer _renderer;
        readonly RawImage _image;
        readonly MaterialPropertyBlock _block;
        readonly int _textureId;
        readonly int _tilingId;
        readonly int _colorId;
        Texture _shown;
        float _opacity = 1;

        /// <summary>Empty targets mean those on the owner's own object.</summary>
        public Surface(Component owner, Renderer renderer, string textureProperty, string colorProperty, RawImage image)
        {
            _renderer = renderer != null ? renderer : owner.GetComponent<Renderer>();
            _image = image != null ? image : owner.GetComponent<RawImage>();
            _block = new MaterialPropertyBlock();
            _textureId = Shader.PropertyToID(textureProperty);
            _tilingId = Shader.PropertyToID(textureProperty + "_ST");
            _colorId = Shader.PropertyToID(colorProperty);
        }

        /// <summary>Show the texture, nothing if it is null. Upright: its row 0 is the lowest.</summary>
        public void Show(Texture texture, float opacity, bool upright)
        {
            if (texture == null)
                opacity = 0;
            if (texture == _shown && opacity == _opacity)
                return;
            var fading = opacity != 1 || _opacity != 1;
            _shown = texture;
            _opacity = opacity;
            if (_renderer != null)
                ShowOnRenderer(upright, fading);
            if (_image != null)
                ShowOnCanvas(upright, fading);
        }

        void ShowOnRenderer(bool upright, bool fading)
        {
            _renderer.GetPropertyBlock(_block); // others may have put something there, too
            if (_shown != null)
                _block.SetTexture(_textureId, _shown);
            _block.SetVector(_tilingId, upright ? new Vector4(1, 1, 0, 0) : new Vector4(1, -1, 0, 1));
            var material = _renderer.sharedMaterial;
            if (fading && material != null && material.HasProperty(_colorId))
            {
                var color = material.GetColor(_colorId);
                color.a *= _opacity;
                _block.SetColor(_colorId, color);
            }
            _renderer.SetPropertyBlock(_block);
        }

        void ShowOnCanvas(bool upright, bool fading)
        {
            _image.texture = _shown;
            _image.uvRect = upright ? new Rect(0, 0, 1, 1) : new Rect(0, 1, 1, -1);
            if (fading)
                _image.canvasRenderer.SetAlpha(_opacity);
        }
    }
}
