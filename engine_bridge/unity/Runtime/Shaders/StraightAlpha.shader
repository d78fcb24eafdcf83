// Shows a picture with straight alpha, unlit. Row 0 of the picture lies at v = 0: the receiver sets _MainTex_ST to
// (1, -1, 0, 1), which turns it upright at no cost. Without a LightMode tag URP draws the pass, too.
Shader "Bunraku/Straight Alpha"
{
    Properties
    {
        _MainTex ("Picture", 2D) = "black" {}
        _Color ("Tint", Color) = (1, 1, 1, 1)
        [Enum(UnityEngine.Rendering.CullMode)] _Cull ("Cull", Float) = 0
    }
    SubShader
    {
        Tags { "Queue" = "Transparent" "RenderType" = "Transparent" "IgnoreProjector" = "True" }
        Cull [_Cull]
        ZWrite Off
        Blend SrcAlpha OneMinusSrcAlpha, One OneMinusSrcAlpha

        Pass
        {
            CGPROGRAM
            #pragma vertex Project
            #pragma fragment Shade
            #pragma multi_compile_instancing
            #include "UnityCG.cginc"

            struct Corner
            {
                float4 position : POSITION;
                float2 uv : TEXCOORD0;
                UNITY_VERTEX_INPUT_INSTANCE_ID
            };

            struct Fragment
            {
                float4 position : SV_POSITION;
                float2 uv : TEXCOORD0;
                UNITY_VERTEX_OUTPUT_STEREO
            };

            sampler2D _MainTex;
            float4 _MainTex_ST;
            fixed4 _Color;

            Fragment Project(Corner corner)
            {
                Fragment result;
                UNITY_SETUP_INSTANCE_ID(corner);
                UNITY_INITIALIZE_VERTEX_OUTPUT_STEREO(result);
                result.position = UnityObjectToClipPos(corner.position);
                result.uv = TRANSFORM_TEX(corner.uv, _MainTex);
                return result;
            }

            fixed4 Shade(Fragment at) : SV_Target
            {
                return tex2D(_MainTex, at.uv) * _Color;
            }
            ENDCG
        }
    }
}
