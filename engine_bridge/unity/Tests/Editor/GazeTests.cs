using NUnit.Framework;
using UnityEngine;

namespace Bunraku.Tests
{
    public sealed class GazeTests
    {
        [TestCase(1f, 0f, -1f, 45f, 0f)] // in front of the quad, to the viewer's right: the character's left
        [TestCase(-1f, 0f, -1f, -45f, 0f)]
        [TestCase(0f, 1f, -1f, 0f, 45f)] // above: up
        [TestCase(0f, -1f, -1f, 0f, -45f)]
        public void CharacterOnAQuadLooksAtThePoint(float x, float y, float z, float yaw, float pitch)
        {
            AssertAngles(new Vector3(x, y, z), false, yaw, pitch);
        }

        [TestCase(-1f, 0f, 1f, 45f, 0f)] // a head along +z has its left at -x
        [TestCase(0f, 1f, 1f, 0f, 45f)]
        public void ModelledHeadLooksAtThePoint(float x, float y, float z, float yaw, float pitch)
        {
            AssertAngles(new Vector3(x, y, z), true, yaw, pitch);
        }

        static void AssertAngles(Vector3 point, bool alongForward, float yaw, float pitch)
        {
            var face = new GameObject("face");
            float foundYaw, foundPitch;
            Gaze.Angles(face.transform, point, alongForward, out foundYaw, out foundPitch);
            Object.DestroyImmediate(face);
            Assert.AreEqual(yaw, foundYaw, 1e-3f);
            Assert.AreEqual(pitch, foundPitch, 1e-3f);
        }
    }
}
