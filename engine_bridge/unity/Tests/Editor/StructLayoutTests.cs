using System;
using System.Runtime.InteropServices;
using Bunraku.Interop;
using NUnit.Framework;

namespace Bunraku.Tests
{
    /// <summary>The structs are as large as the C compiler makes them on 64-bit machines.</summary>
    public sealed class StructLayoutTests
    {
        [TestCase(typeof(Options), 80)]
        [TestCase(typeof(Frame), 248)]
        [TestCase(typeof(Status), 880)]
        [TestCase(typeof(Info), 104)]
        [TestCase(typeof(ControlSpec), 144)]
        [TestCase(typeof(Control), 16)]
        [TestCase(typeof(ControlState), 72)]
        public void SizeIsThatOfTheHeader(Type twin, int bytes)
        {
            Assert.AreEqual(bytes, Marshal.SizeOf(twin));
        }

        [Test]
        public void LibraryIsFoundAndOfThisVersion()
        {
            Assert.IsNull(Library.WhyNot());
        }
    }
}
