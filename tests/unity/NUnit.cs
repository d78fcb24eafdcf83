// A small stand-in for NUnit, so that the package's own edit mode tests compile and run without an editor.

using System;
using System.Reflection;

namespace NUnit.Framework
{
    [AttributeUsage(AttributeTargets.Method)]
    public sealed class TestAttribute : Attribute { }

    [AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
    public sealed class TestCaseAttribute : Attribute
    {
        public readonly object[] Arguments;
        public TestCaseAttribute(params object[] arguments) { Arguments = arguments; }
    }

    public static class Assert
    {
        public static void AreEqual(object expected, object actual)
        {
            if (!Equals(expected, actual))
                throw new Exception("expected " + expected + ", got " + actual);
        }

        public static void AreEqual(float expected, float actual, float within)
        {
            if (!(Math.Abs(expected - actual) <= within))
                throw new Exception("expected " + expected + ", got " + actual);
        }

        public static void IsNull(object actual) { AreEqual(null, actual); }
    }

    public static class Runner
    {
        /// <summary>Run all tests of an assembly; a line of name=ok or name=what is wrong for each.</summary>
        public static string Run(Assembly assembly)
        {
            var lines = "";
            foreach (var type in assembly.GetTypes())
                foreach (var method in type.GetMethods())
                {
                    if (method.IsDefined(typeof(TestAttribute), false))
                        lines += Run(method, new object[0]);
                    foreach (TestCaseAttribute test in method.GetCustomAttributes(typeof(TestCaseAttribute), false))
                        lines += Run(method, test.Arguments);
                }
            return lines;
        }

        static string Run(MethodInfo method, object[] arguments)
        {
            var name = method.DeclaringType.Name + "." + method.Name + "(" + string.Join(" ", arguments) + ")";
            try
            {
                method.Invoke(Activator.CreateInstance(method.DeclaringType), arguments);
                return name + "=ok\n";
            }
            catch (TargetInvocationException error)
            {
                return name + "=" + error.InnerException.Message.Replace('\n', ' ') + "\n";
            }
        }
    }
}
