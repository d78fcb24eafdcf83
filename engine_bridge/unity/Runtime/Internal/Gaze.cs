using UnityEngine;

namespace Bunraku
{
    /// <summary>Which way a character must look to see a point.</summary>
    static class Gaze
    {
        /// <summary>
        /// Angles in degrees from the character's straight-ahead to the point: positive yaw is the character's own
        /// left, positive pitch is up.
        /// </summary>
        /// <param name="face">Where the face is. Quads and canvases are seen from the side against their forward axis,
        /// so a character on one looks along -forward and has its left at +right.</param>
        /// <param name="alongForward">The face looks along +forward instead, as a modelled head does.</param>
        public static void Angles(Transform face, Vector3 point, bool alongForward, out float yaw, out float pitch)
        {
            var there = Quaternion.Inverse(face.rotation) * (point - face.position);
            var left = alongForward ? -there.x : there.x;
            var ahead = alongForward ? there.z : -there.z;
            yaw = Mathf.Atan2(left, ahead) * Mathf.Rad2Deg;
            pitch = Mathf.Atan2(there.y, Mathf.Sqrt(left * left + ahead * ahead)) * Mathf.Rad2Deg;
        }
    }
}
